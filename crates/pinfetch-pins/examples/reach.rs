//! What a large policy costs: `cargo run --release -p pinfetch-pins --example reach [HOSTS]`. docs/performance.md has the
//! figures.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "a program that measures and prints"
)]

use std::time::Instant;

use pinfetch_pins::{Host, Pin, PinSetSource, PinSource, PolicyBuilder};

fn main() {
    let hosts = std::env::args()
        .nth(1)
        .map_or(1_000_000, |hosts| hosts.parse().expect("HOSTS is a number"));
    let before = resident_bytes();
    let mut builder = PolicyBuilder::with_capacity(hosts as usize);
    let clock = Clock(Instant::now());
    let (mut compiling, mut sources) = (0.0, Vec::new());
    for host in 0..hosts {
        let source = source(host);
        sources.push(source);
        if sources.len() == 1000 || host + 1 == hosts {
            let begun = clock.now();
            for source in sources.drain(..) {
                builder.add(source).expect("a good set");
            }
            compiling += clock.now() - begun;
        }
    }
    // without one, look-ups would be spared the suffixes of each host
    let star = PinSetSource {
        pattern: "*.partners.example.com".into(),
        ..source(hosts)
    };
    builder.add(star).expect("a good set");
    let begun = clock.now();
    let policy = builder.finish().expect("a good policy");
    compiling += clock.now() - begun;
    println!("{hosts} hosts of three pins: compiled in {compiling:.2} s");
    if let (Some(before), Some(after)) = (before, resident_bytes()) {
        let each = after.saturating_sub(before) as f64 / f64::from(hosts);
        println!("{each:.0} bytes a host");
    }
    for (name, prefix) in [("pinned", "h"), ("unpinned", "x")] {
        // in an order in which no cache helps
        let asked: Vec<Host> = (0..200_000_u64)
            .map(|index| index * 7_919_953 % u64::from(hosts))
            .map(|host| format!("{prefix}{host}.customers.example.com"))
            .map(|host| host.parse().expect("a good host"))
            .collect();
        let begun = clock.now();
        let found = asked
            .iter()
            .filter(|host| policy.lookup(host, 443).is_pinned())
            .count();
        let each = (clock.now() - begun) * 1e9 / asked.len() as f64;
        println!("a look-up of a host that is {name}: {each:.0} ns ({found} found)");
    }
}

/// The time that this thread had the processor, so that what else the machine does says nothing; where the system doesn't
/// tell, the time of day.
struct Clock(Instant);

impl Clock {
    /// In seconds.
    fn now(&self) -> f64 {
        let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let nanoseconds = schedule.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
        nanoseconds.map_or_else(|| self.0.elapsed().as_secs_f64(), |ns| ns / 1e9)
    }
}

fn source(host: u32) -> PinSetSource {
    let pin = |index: u32| {
        let mut bytes = [0; 32];
        let mut state = (u64::from(host) * 3 + u64::from(index)).wrapping_add(1);
        for byte in &mut bytes {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = state.to_be_bytes()[0];
        }
        PinSource::Text(Pin::from_bytes(bytes).to_string())
    };
    PinSetSource {
        pattern: format!("h{host}.customers.example.com"),
        pins: (0..3).map(pin).collect(),
        ..PinSetSource::default()
    }
}

/// What the process holds in memory, where the system tells.
fn resident_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = status.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}
