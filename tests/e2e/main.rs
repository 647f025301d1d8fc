//! End to end: the real binary, real sockets, backends that break on demand.
//!
//! Each test starts its own leeward on free ports, so all of them run side by side. What is shown
//! about orders comes from the backends' own records, never from what leeward counts.

#[cfg(test)]
mod support;

#[cfg(test)]
mod access;
#[cfg(test)]
mod access_log;
#[cfg(test)]
mod admin;
#[cfg(test)]
mod badanswers;
#[cfg(test)]
mod badinput;
#[cfg(test)]
mod badinput_cases;
#[cfg(test)]
mod bytes;
#[cfg(test)]
mod capacity;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod deploy;
#[cfg(test)]
mod desync;
#[cfg(test)]
mod diff;
#[cfg(test)]
mod discovery;
#[cfg(test)]
mod dns;
#[cfg(test)]
mod edge;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod fields;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod h2;
#[cfg(test)]
mod names;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod order_path;
mod orders;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod page;
#[cfg(test)]
#[cfg(test)]
mod process;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod serving;
#[cfg(test)]
mod silence;
#[cfg(test)]
mod state;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod upgrade;
