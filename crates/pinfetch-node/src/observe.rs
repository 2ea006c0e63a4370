//! What is asked of policies in force at once: metrics, coverage, rehearsals.

use std::sync::Weak;
use std::time::{SystemTime, UNIX_EPOCH};

use pinfetch_client::{
    Client, Code, Coverage, Handshake, HostCoverage, HostRehearsal, PatternMetrics,
    RehearsalReport, RequestError,
};

use crate::engine::Core;
use crate::environment::reply;
use crate::policies;
use crate::wire::{Malformed, Reader, Write, completion};

impl Core {
    pub(crate) fn release_rehearsal(&self, mut record: Reader<'_>) -> Result<(), Malformed> {
        if let Some(rehearsal) = self.rehearsals.release(record.u32()?) {
            rehearsal.end();
        }
        Ok(())
    }

    pub(crate) fn tell_handshakes(&self, mut record: Reader<'_>) -> Result<(), Malformed> {
        self.environment().tell_handshakes(record.flag()?);
        Ok(())
    }
}

/// Rehearses a policy on a client's traffic; a Reply with the rehearsal's handle.
pub(crate) fn rehearse(core: &Core, client: u32, policy: &[u8]) -> Vec<u8> {
    let begin = || {
        let policy = policies::read(policy)?;
        let client = client_of(core, client).ok_or(RequestError::ClientClosed)?;
        client.rehearse(policy)
    };
    reply(begin().map(|rehearsal| core.rehearsals.add(rehearsal).to_le_bytes().into()))
}

/// The same on the traffic of all that share a policy.
pub(crate) fn rehearse_live(core: &Core, live: u32, policy: &[u8]) -> Vec<u8> {
    let begin = || {
        let policy = policies::read(policy)?;
        let live = core.live_policies.get(live).ok_or(Malformed)?;
        Ok(live.rehearse(policy))
    };
    reply(begin().map(|rehearsal| core.rehearsals.add(rehearsal).to_le_bytes().into()))
}

/// What a rehearsal has shown so far, as a record.
pub(crate) fn rehearsal_report(core: &Core, rehearsal: u32) -> Vec<u8> {
    let report = core.rehearsals.get(rehearsal).map(|it| it.report());
    let mut out = Vec::new();
    out.opt(report.as_ref(), write_report);
    out
}

/// Ends a rehearsal, whose report stays.
pub(crate) fn end_rehearsal(core: &Core, rehearsal: u32) {
    if let Some(rehearsal) = core.rehearsals.get(rehearsal) {
        rehearsal.end();
    }
}

/// What a client's handshakes have shown, as a record.
pub(crate) fn metrics(core: &Core, client: u32) -> Vec<u8> {
    let client = client_of(core, client);
    encode_metrics(&client.map(|client| client.metrics()).unwrap_or_default())
}

/// What the handshakes of all that share a policy have shown, as a record.
pub(crate) fn live_metrics(core: &Core, live: u32) -> Vec<u8> {
    let live = core.live_policies.get(live);
    encode_metrics(&live.map(|live| live.metrics()).unwrap_or_default())
}

/// The hosts that a client's requests went to, as a record.
pub(crate) fn coverage(core: &Core, client: u32) -> Vec<u8> {
    let coverage = client_of(core, client).map(|client| client.coverage());
    let Coverage {
        unpinned,
        pinned,
        overflow,
    } = coverage.unwrap_or_default();
    let mut out = Vec::new();
    for hosts in [unpinned, pinned] {
        out.size(hosts.len());
        for host in &hosts {
            write_host(&mut out, host);
        }
    }
    out.i64(count(overflow));
    out
}

/// A client, not looked at under the lock of all.
fn client_of(core: &Core, handle: u32) -> Option<Client> {
    core.with_client(handle, Client::clone)
}

fn encode_metrics(metrics: &[PatternMetrics]) -> Vec<u8> {
    let mut out = Vec::new();
    out.size(metrics.len());
    for pattern in metrics {
        out.str(&pattern.pattern);
        out.i64(count(pattern.full));
        out.i64(count(pattern.resumed));
        out.i64(count(pattern.enforced_mismatches));
        out.i64(count(pattern.reported_mismatches));
        out.size(pattern.pins.len());
        for pin in &pattern.pins {
            out.pin(&pin.pin);
            out.i64(count(pin.matches));
            out.opt(pin.last, |out, last| out.i64(milliseconds(last)));
        }
        out.opt(pattern.soonest_expiry.as_ref(), |out, end| {
            out.i64(end.not_after);
            out.str(&end.subject);
            out.pin(&end.pin);
        });
    }
    out
}

fn write_host(out: &mut Vec<u8>, host: &HostCoverage) {
    out.str(host.host.as_str());
    out.u16(host.port);
    out.strs(&host.patterns);
    out.i64(count(host.requests));
    out.i64(milliseconds(host.first));
    out.i64(milliseconds(host.last));
}

fn write_report(out: &mut Vec<u8>, report: &RehearsalReport) {
    out.u8(report.is_safe().into());
    out.i64(milliseconds(report.since));
    out.i64(count(report.connections));
    out.i64(count(report.overflow));
    out.size(report.hosts.len());
    for host in &report.hosts {
        let HostRehearsal {
            host,
            port,
            connections,
            would_pass,
            would_reconnect,
            would_fail,
            refusal,
            becomes_unpinned,
            patterns,
            found,
        } = host;
        out.str(host.as_str());
        out.u16(*port);
        for number in [connections, would_pass, would_reconnect, would_fail] {
            out.i64(count(*number));
        }
        out.u16(refusal.map_or(0, |code: Code| code as u16));
        out.u8((*becomes_unpinned).into());
        out.strs(patterns);
        out.pins(found.iter());
    }
}

/// A handshake that ended in a verdict.
pub(crate) fn write_handshake(out: &mut Vec<u8>, handshake: &Handshake<'_>) {
    out.nested(|out| {
        out.u8(completion::HANDSHAKE);
        out.u32(handshake.connection.unwrap_or(0)); // no connection has this number
        out.str(handshake.host.as_str());
        out.u16(handshake.port);
        out.str(&handshake.remote.to_string());
        out.u8(if handshake.tls13 { 13 } else { 12 });
        out.u8(handshake.resumed.into());
        out.opt(handshake.matched.as_ref(), Write::pin);
        out.strs(&handshake.patterns);
        out.pins(handshake.found.iter());
    });
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Since 1970, for JavaScript's dates.
fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Tells JavaScript of handshakes, with the next record that somebody waits for.
pub(crate) fn teller(core: Weak<Core>) -> impl Fn(&Handshake<'_>) + Send + Sync {
    move |handshake| {
        if let Some(core) = core.upgrade() {
            core.completions
                .push_quietly(|out| write_handshake(out, handshake));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn handshakes_are_written_as_javascript_reads_them() {
        let vectors: Value = serde_json::from_str(include_str!("../wire-vectors.json")).unwrap();
        let vectors = vectors["completions"].as_array().unwrap().iter();
        let mut walked = 0;
        for vector in vectors.filter(|vector| vector["kind"] == "HANDSHAKE") {
            let host = vector["hostname"].as_str().unwrap().parse().unwrap();
            let pin = |text: &Value| text.as_str().map(|text| text.parse().unwrap());
            let list = |field: &str| vector[field].as_array().unwrap().iter();
            let found: Vec<_> = list("foundPins").filter_map(pin).collect();
            let number = |field: &str| vector[field].as_u64();
            let handshake = Handshake {
                host: &host,
                port: number("port").unwrap().try_into().unwrap(),
                remote: vector["remoteAddress"].as_str().unwrap().parse().unwrap(),
                connection: number("connection").map(|it| it.try_into().unwrap()),
                tls13: vector["protocol"] == "TLSv1.3",
                resumed: vector["resumed"].as_bool().unwrap(),
                matched: pin(&vector["matchedPin"]),
                patterns: list("patterns").map(|it| it.as_str().unwrap()).collect(),
                found: &found,
            };
            let mut out = Vec::new();
            write_handshake(&mut out, &handshake);
            let hex = vector["hex"].as_str().unwrap();
            let bytes = (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[at * 2..][..2], 16));
            let expected: Vec<u8> = bytes.map(Result::unwrap).collect();
            assert_eq!(out, expected, "{}", vector["name"]);
            walked += 1;
        }
        assert_eq!(walked, 2);
    }
}
