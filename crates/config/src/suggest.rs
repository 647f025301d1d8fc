//! What was probably meant: the known names that are nearest to an unknown one.
//!
//! Owns the measure. Called wherever a name or key is not known.

/// `did you mean …?` with the known names nearest to `name`, or the known names themselves where
/// none is near and they are few.
pub(crate) fn names(name: &str, known: &[&str]) -> Option<String> {
    nearest(name, known).or_else(|| match known.len() {
        0 => None,
        1..=8 => Some(format!("known: {}", known.join(", "))),
        _ => None,
    })
}

/// `did you mean …?` with the known names nearest to `name`, if any is near.
pub(crate) fn nearest(name: &str, known: &[&str]) -> Option<String> {
    let name: String = name.chars().take(64).collect::<String>().to_lowercase();
    let far = name.chars().count().div_ceil(3).max(1);
    let mut near: Vec<(usize, &str)> = known
        .iter()
        .filter(|other| other.len().abs_diff(name.len()) <= far)
        .map(|&other| (strsim::osa_distance(&name, &other.to_lowercase()), other))
        .filter(|(distance, _)| *distance <= far)
        .collect();
    near.sort_by_key(|(distance, _)| *distance);
    let best = near.first()?.0;
    let best: Vec<String> = near
        .iter()
        .take_while(|(distance, _)| *distance == best)
        .take(3)
        .map(|(_, other)| format!("`{other}`"))
        .collect();
    Some(format!("did you mean {}?", best.join(" or ")))
}
