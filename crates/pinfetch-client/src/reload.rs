//! A policy swap: live connections judged again by their remembered path.
//!
//! After [`swap`] resolves, nothing is sent on a connection that the new policy refuses; every other connection and
//! session goes on as if nothing had happened.

use std::sync::Arc;

use pinfetch_pins::{BadPin, EffectivePins, Policy, VerifiedPath};

use crate::config::ConnectionKey;
use crate::connect::Live;
use crate::connect::tls::{Requirement, Verdict};
use crate::error::{Code, RequestError};
use crate::gate::{Gate, Origin};

/// Puts `policy` in force; gives the number of connections that it closed.
pub(crate) fn swap(gate: &Arc<Gate>, policy: Policy) -> Result<usize, RequestError> {
    if gate.is_insecure() && !policy.is_empty() {
        return Err(insecure_with_pins());
    }
    let mut refused = 0;
    let mut answers = Vec::new();
    {
        let mut state = gate.lock();
        if state.closed {
            return Err(RequestError::ClientClosed);
        }
        let policy = Arc::new(policy);
        let mut changes = Vec::with_capacity(state.origins.len());
        for (key, origin) in &state.origins {
            let requirement = Requirement::of(&policy, key);
            let tls = if requirement.same_pins(&origin.requirement) {
                origin.tls.clone()
            } else {
                gate.tls_for(key, &requirement)? // a new verifier: sessions of the old one don't resume under it
            };
            // a proxy that may not be used any more refuses the origin, as `admit` does
            let proxy = gate.proxy_side(&policy, key, origin.proxy.as_ref());
            changes.push((key.clone(), requirement, tls, proxy));
        }
        // from here on nothing fails: a swap takes effect for all origins or for none
        for (key, requirement, tls, proxy) in changes {
            let Some(origin) = state.origins.get_mut(&key) else {
                continue;
            };
            let key = &key;
            origin.requirement = requirement;
            origin.tls = tls;
            let admitted = match proxy {
                Ok(proxy) => {
                    origin.proxy = proxy;
                    gate.admit(key, &origin.requirement)
                }
                Err(refusal) => Err(refusal),
            };
            for live in origin.live.clone() {
                let refusal = match (&admitted, origin.judge(&live.facts)) {
                    (Err(refusal), _) => refusal.clone(),
                    (Ok(()), (Verdict::Refuse(pins), path)) => bad_pin(&live, &pins, path, key),
                    (Ok(()), (Verdict::Accept(matched), _)) => {
                        live.accept(matched);
                        continue;
                    }
                };
                live.revoke(refusal);
                refused += 1;
                take_out(origin, &live);
            }
            origin.forget_closed();
            // requests that come later are refused before DNS, as those to an origin not seen before
            origin.refusal = admitted.err();
            if let Some(refusal) = &origin.refusal {
                let waiters = origin.waiters.drain(..);
                answers.extend(waiters.map(|waiter| (waiter, refusal.clone())));
            } else {
                gate.open_more(key, origin);
            }
        }
        state.policy = policy;
    }
    for (waiter, refusal) in answers {
        let _ = waiter.send(Err(refusal)); // who gave up needs no answer
    }
    Ok(refused)
}

/// No further request is given this connection.
fn take_out(origin: &mut Origin, live: &Arc<Live>) {
    origin
        .idle
        .retain(|connection| !Arc::ptr_eq(&connection.live, live));
    if origin
        .http2
        .as_ref()
        .is_some_and(|connection| Arc::ptr_eq(&connection.live, live))
    {
        origin.http2 = None;
    }
}

fn bad_pin(
    live: &Live,
    pins: &EffectivePins,
    path: Option<Arc<VerifiedPath>>,
    key: &ConnectionKey,
) -> RequestError {
    match path {
        Some(path) => RequestError::BadPin {
            report: Arc::new(BadPin::of_path(pins, path)),
            remote: live.facts.remote,
        },
        // plain TCP: `admit` has refused it before
        None => RequestError::Plaintext {
            host: key.host.clone(),
            port: key.port,
        },
    }
}

pub(crate) fn insecure_with_pins() -> RequestError {
    RequestError::Option {
        code: Code::PolicyInsecure,
        problem: "pins and insecureSkipVerify contradict each other: a pin is only worth something on a verified path; \
                  for a server of your own give its CA as `ca`"
            .into(),
    }
}
