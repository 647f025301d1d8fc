//! When certificates end.
//!
//! Judges nothing: whether a certificate is to be trusted is rustls' business. Called when a policy is
//! loaded and by probes, so that people hear of it in time.

use rustls::pki_types::CertificateDer;

/// When the first of these certificates ends, in seconds since 1970; `None` where none can be read.
pub(crate) fn first_end(chain: &[CertificateDer<'_>]) -> Option<i64> {
    chain.iter().filter_map(end).min()
}

fn end(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(parsed.validity().not_after.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(year: i32) -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::new(vec!["api.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn the_certificate_that_ends_first_counts() {
        let chain = [until(2030), until(2028), until(2029)];
        assert_eq!(first_end(&chain), Some(1_830_297_600));
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        let nonsense = CertificateDer::from(vec![0x30, 0x80, 1, 2, 3]);
        assert_eq!(first_end(std::slice::from_ref(&nonsense)), None);
        assert_eq!(first_end(&[nonsense, until(2028)]), Some(1_830_297_600));
        assert_eq!(first_end(&[]), None);
    }
}
