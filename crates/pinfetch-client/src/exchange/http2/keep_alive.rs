//! Whether a silent HTTP/2 connection still lives (RFC 9113 §6.7).

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep};

use crate::config::KeepAlive;
use crate::connect::Live;

/// Asks a connection with requests under way whether it lives once it has been silent for long. One without any is left
/// alone: nobody waits for it, and no timer runs.
pub(crate) struct Watch {
    pings: PingPong,
    keep_alive: KeepAlive,
    timer: Pin<Box<Sleep>>,
    heard: Instant,
    state: State,
}

enum State {
    /// No request is under way.
    Resting,
    /// The timer ends when it may have been silent for too long.
    Listening,
    /// A ping is out; the timer ends when its answer is overdue.
    Asking,
}

/// What is to be done with the connection.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing.
    Wait,
    /// A ping is to be sent: the connection has to be driven once more.
    Drive,
    /// Nobody is there: it is to be closed.
    Dead,
}

impl Watch {
    pub(crate) fn new(pings: PingPong, keep_alive: KeepAlive) -> Self {
        Self {
            pings,
            timer: Box::pin(sleep(Duration::ZERO)),
            keep_alive,
            heard: Instant::now(),
            state: State::Resting,
        }
    }

    /// Looks at the connection after it was driven.
    pub(crate) fn poll(&mut self, live: &Live, cx: &mut Context<'_>) -> Verdict {
        if live.take_heard() {
            self.heard = Instant::now();
            // whatever comes proves that somebody is there, as an answer would
            if matches!(self.state, State::Asking) {
                self.listen();
            }
        }
        let is_active = live.streams() > 0;
        if matches!(self.state, State::Resting) {
            if !is_active {
                return Verdict::Wait;
            }
            self.heard = Instant::now();
            self.listen();
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            match self.state {
                State::Asking => return Verdict::Dead,
                State::Resting => return Verdict::Wait,
                State::Listening if !is_active => {
                    self.state = State::Resting;
                    return Verdict::Wait;
                }
                State::Listening if self.heard + self.keep_alive.interval > Instant::now() => {
                    self.listen();
                }
                State::Listening => {
                    // takes the last answer out of the way; a ping that is still out asks as well as another
                    let _ = self.pings.poll_pong(cx);
                    let _ = self.pings.send_ping(Ping::opaque());
                    self.state = State::Asking;
                    let due = Instant::now() + self.keep_alive.timeout;
                    self.timer.as_mut().reset(due);
                    let _ = self.timer.as_mut().poll(cx); // to be woken by it
                    return Verdict::Drive;
                }
            }
        }
        Verdict::Wait
    }

    fn listen(&mut self) {
        self.state = State::Listening;
        self.timer
            .as_mut()
            .reset(self.heard + self.keep_alive.interval);
    }
}
