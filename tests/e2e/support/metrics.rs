//! What `/metrics` says, read as Prometheus reads it.

/// One scrape.
pub(crate) struct Metrics(String);

impl Metrics {
    /// Takes the text over.
    pub(crate) const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// The sum over the series of this name that have all these labels; `None` when there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\""))
            .collect();
        let mut found = None;
        for line in self.0.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let (family, labels) = series.split_once('{').unwrap_or((series, ""));
            if family == name && wanted.iter().all(|label| labels.contains(label.as_str())) {
                found = Some(found.unwrap_or(0.0) + value.parse::<f64>().unwrap());
            }
        }
        found
    }
}
