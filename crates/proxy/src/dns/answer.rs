//! Reads one answer of a resolver: which of its records answer the question, and which do not.
//!
//! Pure. Records of other names are refused, whatever their section says; aliases are followed
//! within bounds. Called by `ask`.

use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use leeward_metrics::LookupResult;
use std::net::IpAddr;

/// Aliases that one question may lead through.
pub(crate) const MOST_ALIASES: usize = 8;

/// What an answer comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reading<T> {
    /// Records, the least TTL of the way to them in seconds, and how many records of their kind
    /// belong to other names.
    Found(Vec<T>, u32, usize),
    /// The name is an alias of this one, of which nothing is said yet.
    Alias(Name, u32),
}

/// The records of `kind` that answer a question for `asked`. `aliases` is how many more may follow.
///
/// # Errors
/// Why there is none: `Empty`, `OtherName` or `CnameLoop`.
pub(crate) fn read<T>(
    asked: &Name,
    kind: RecordType,
    records: &[Record],
    aliases: &mut usize,
    value: impl Fn(&RData) -> Option<T>,
) -> Result<Reading<T>, LookupResult> {
    let mut name = asked;
    let mut ttl = u32::MAX;
    loop {
        let own = || records.iter().filter(|record| record.name == *name);
        let of_kind = own().filter(|record| record.record_type() == kind);
        let least = of_kind.clone().map(|record| record.ttl).min();
        let found: Vec<T> = of_kind.filter_map(|record| value(&record.data)).collect();
        if !found.is_empty() {
            let all = records
                .iter()
                .filter(|record| record.record_type() == kind)
                .count();
            let others = all.saturating_sub(own().filter(|r| r.record_type() == kind).count());
            return Ok(Reading::Found(found, ttl.min(least.unwrap_or(ttl)), others));
        }
        let alias = own().find_map(|record| match &record.data {
            RData::CNAME(target) => Some((&target.0, record.ttl)),
            _ => None,
        });
        let Some((target, its_ttl)) = alias else {
            break;
        };
        *aliases = aliases.checked_sub(1).ok_or(LookupResult::CnameLoop)?;
        (name, ttl) = (target, ttl.min(its_ttl));
    }
    if name != asked {
        Ok(Reading::Alias(name.clone(), ttl))
    } else if records.is_empty() {
        Err(LookupResult::Empty)
    } else {
        Err(LookupResult::OtherName)
    }
}

/// The address of an A or AAAA record.
pub(crate) fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::rr::rdata::{A, CNAME};

    fn name(name: &str) -> Name {
        Name::from_ascii(name).unwrap()
    }

    fn a(owner: &str, ttl: u32, last: u8) -> Record {
        Record::from_rdata(name(owner), ttl, RData::A(A::new(192, 0, 2, last)))
    }

    fn alias(owner: &str, ttl: u32, target: &str) -> Record {
        Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
    }

    fn read_a(records: &[Record]) -> Result<Reading<IpAddr>, LookupResult> {
        let mut aliases = MOST_ALIASES;
        read(
            &name("api.example."),
            RecordType::A,
            records,
            &mut aliases,
            address,
        )
    }

    fn found(last: &[u8], ttl: u32) -> Result<Reading<IpAddr>, LookupResult> {
        let addresses = last.iter().map(|last| IpAddr::from([192, 0, 2, *last]));
        Ok(Reading::Found(addresses.collect(), ttl, 0))
    }

    #[test]
    fn an_answer_has_the_least_ttl_of_its_records() {
        let records = [a("api.example.", 60, 1), a("api.example.", 30, 2)];
        assert_eq!(read_a(&records), found(&[1, 2], 30));
    }

    #[test]
    fn names_are_compared_without_case() {
        assert_eq!(read_a(&[a("API.example.", 60, 1)]), found(&[1], 60));
    }

    #[test]
    fn aliases_in_the_answer_are_followed_in_any_order() {
        let records = [
            a("c.example.", 60, 1),
            alias("b.example.", 20, "c.example."),
            alias("api.example.", 40, "b.example."),
        ];
        assert_eq!(read_a(&records), found(&[1], 20));
    }

    #[test]
    fn an_alias_that_leads_out_of_the_answer_is_the_next_question() {
        let records = [alias("api.example.", 40, "b.example.")];
        assert_eq!(read_a(&records), Ok(Reading::Alias(name("b.example."), 40)));
    }

    #[test]
    fn aliases_in_a_circle_end() {
        let records = [
            alias("api.example.", 40, "b.example."),
            alias("b.example.", 40, "api.example."),
        ];
        assert_eq!(read_a(&records), Err(LookupResult::CnameLoop));
    }

    #[test]
    fn records_of_another_name_are_no_answer() {
        let records = [a("evil.example.", 60, 1)];
        assert_eq!(read_a(&records), Err(LookupResult::OtherName));
        let beside = [a("evil.example.", 60, 1), a("api.example.", 60, 2)];
        let own = vec![IpAddr::from([192, 0, 2, 2])];
        assert_eq!(read_a(&beside), Ok(Reading::Found(own, 60, 1)));
    }

    #[test]
    fn no_record_is_an_empty_answer() {
        assert_eq!(read_a(&[]), Err(LookupResult::Empty));
    }
}
