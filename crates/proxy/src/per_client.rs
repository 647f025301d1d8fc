//! How many connections each client has open at a listener.
//!
//! One table a listener, shared by the workers: written when a connection begins and when it ends,
//! never for a request. Holds clients with open connections only, so it is bounded by
//! `max_connections`. Called by `listener`, where the policy bounds connections by client.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections by client.
#[derive(Debug, Default)]
pub(crate) struct PerClient(Mutex<HashMap<ClientKey, usize>>);

/// What counts as one client: an IPv4 address, or an IPv6 network of 64 bits, since whoever has one
/// address of it has all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ClientKey {
    V4(u32),
    V6(u64),
}

impl ClientKey {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => ClientKey::V4(address.to_bits()),
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64;
                ClientKey::V6(u64::try_from(network).unwrap_or_default())
            }
        }
    }
}

impl PerClient {
    /// Counts one more connection of `client` for as long as the guard lives; `None` when it has
    /// `most` already.
    pub(crate) fn enter(self: &Arc<Self>, client: IpAddr, most: usize) -> Option<Place> {
        let key = ClientKey::of(client);
        let mut table = self.table();
        let open = table.entry(key).or_default();
        if *open >= most {
            // With a bound of at least 1, whoever is refused has an entry that counts something.
            return None;
        }
        *open += 1;
        drop(table);
        Some(Place {
            table: self.clone(),
            key,
        })
    }

    fn table(&self) -> MutexGuard<'_, HashMap<ClientKey, usize>> {
        // A panic elsewhere cannot leave a count half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One counted connection.
#[derive(Debug)]
pub(crate) struct Place {
    table: Arc<PerClient>,
    key: ClientKey,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.table.table();
        if let Entry::Occupied(mut entry) = table.entry(self.key) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_has_so_many_places_and_gets_one_back_when_it_leaves() {
        let table = Arc::new(PerClient::default());
        let first = table.enter(ip("192.0.2.1"), 2).unwrap();
        let _second = table.enter(ip("192.0.2.1"), 2).unwrap();
        assert!(table.enter(ip("192.0.2.1"), 2).is_none());
        assert!(table.enter(ip("192.0.2.2"), 2).is_some());
        drop(first);
        assert!(table.enter(ip("192.0.2.1"), 2).is_some());
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_client_and_a_mapped_address_is_ipv4() {
        let table = Arc::new(PerClient::default());
        let _first = table.enter(ip("2001:db8:0:1::1"), 1).unwrap();
        assert!(table.enter(ip("2001:db8:0:1:ffff::2"), 1).is_none());
        assert!(table.enter(ip("2001:db8:0:2::1"), 1).is_some());
        let _mapped = table.enter(ip("::ffff:192.0.2.1"), 1).unwrap();
        assert!(table.enter(ip("192.0.2.1"), 1).is_none());
    }

    #[test]
    fn the_table_forgets_who_has_left() {
        let table = Arc::new(PerClient::default());
        let places: Vec<Place> = (0..100)
            .map(|n| table.enter(IpAddr::from([192, 0, 2, n]), 1).unwrap())
            .collect();
        assert_eq!(table.table().len(), 100);
        drop(places);
        assert!(table.table().is_empty());
    }
}
