//! From numbers to the text of `/metrics`.
//!
//! Owns the use of the `prometheus` crate: its plain types and its encoder. Called by the admin
//! thread, with no lock held.

use crate::cells::BOUNDS;
use crate::family::{Family, Kind};
use crate::series::{Reading, Value};
use prometheus::TextEncoder;
use prometheus::proto::{self, MetricFamily, MetricType};

/// The text, families in the order of their names.
pub(crate) fn encode(mut readings: Vec<Reading>) -> String {
    readings.retain(|reading| !reading.series.is_empty());
    readings.sort_by_key(|reading| reading.family.name);
    let families: Vec<MetricFamily> = readings.into_iter().map(family_of).collect();
    let mut text = String::new();
    // The encoder refuses a family without a name or without series; there is none here.
    let _ = TextEncoder::new().encode_utf8(&families, &mut text);
    text
}

fn family_of(Reading { family, series }: Reading) -> MetricFamily {
    let mut proto = MetricFamily::default();
    proto.set_name(family.name.to_owned());
    proto.set_help(family.help.to_owned());
    proto.set_field_type(match family.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
        Kind::Histogram => MetricType::HISTOGRAM,
    });
    let series = series
        .into_iter()
        .map(|(labels, value)| metric(family, &labels, value));
    proto.set_metric(series.collect());
    proto
}

fn metric(family: &'static Family, labels: &[String], value: Value) -> proto::Metric {
    let pairs = family.labels.iter().zip(labels).map(|(name, value)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.clone());
        pair
    });
    let mut metric = proto::Metric::from_label(pairs.collect());
    let number = match value {
        Value::Number(number) => number,
        Value::Counter(count) => count as f64,
        // The sheets are read one after the other, so one that went down elsewhere in between may
        // be missed where it went up. Nothing is ever there less than zero times.
        Value::Gauge(level) => level.max(0) as f64,
        Value::Histogram(buckets, micros) => {
            metric.set_histogram(cumulative(&buckets, micros));
            return metric;
        }
    };
    if family.kind == Kind::Counter {
        let mut counter = proto::Counter::default();
        counter.set_value(number);
        metric.set_counter(counter);
    } else {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(number);
        metric.set_gauge(gauge);
    }
    metric
}

/// The text format counts in each bucket what lies in the lower ones too. The count comes from the
/// buckets, so that the two always agree.
fn cumulative(buckets: &[u64], micros: u64) -> proto::Histogram {
    let mut count = 0_u64;
    let mut up_to = buckets.iter().map(|n| {
        count = count.wrapping_add(*n);
        count
    });
    let bounded = BOUNDS.iter().zip(up_to.by_ref()).map(|(bound, count)| {
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(seconds(*bound));
        bucket.set_cumulative_count(count);
        bucket
    });
    let bounded = bounded.collect();
    let all = up_to.last().unwrap_or_default();
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(bounded);
    histogram.set_sample_count(all);
    histogram.set_sample_sum(seconds(micros));
    histogram
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
