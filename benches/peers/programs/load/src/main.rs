//! A load generator on one thread, for 127.0.0.1 only. It knows what every answer has to be and counts
//! all that is different. `plan` says what it takes; one line of JSON on standard output is what it saw.
//!
//!     load '{"port": 8080, "seconds": 2, "kinds": [{"name": "read", "path": "/1k", "expect": 1024, "connections": 64}]}'

mod answer;
mod connection;
mod plan;
mod pools;
mod run;
mod tally;

use std::error::Error;
use std::io::{self, Read};
use std::num::NonZeroU64;

fn main() -> Result<(), Box<dyn Error>> {
    let plan = std::env::args().nth(1).ok_or("a plan in JSON is needed")?;
    let plan: plan::Plan = serde_json::from_str(&plan)?;
    // The 50 us by which the kernel may be late otherwise would be seen in an open loop.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let mut run = run::Run::new(&plan)?;
    run.go()?;
    println!("{}", serde_json::to_string(&run.report())?);
    if plan.hold {
        // They stay until whoever started this has looked.
        io::stdin().read_to_end(&mut Vec::new())?;
        println!("{}", serde_json::to_string(&run.still_open())?);
    }
    Ok(())
}
