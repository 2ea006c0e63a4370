//! `pinfetch-testkit`: a JSON command a line on standard input, a JSON answer a line on standard output.
//!
//! Each command has an `id` and a `cmd` (see [`pinfetch_testkit::Command`]). The answer is `{ "re": id, "ok": {…} }`
//! or `{ "re": id, "error": "…" }`; answers that take time may come after those to later commands. The program ends,
//! and everything it started with it, when standard input closes: a test that dies leaves nothing behind.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use pinfetch_testkit::{Command, Kit, KitError, Outcome};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

fn main() -> ExitCode {
    // One thread: the kit must leave the other cores to the client under test, which a benchmark measures.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let _unseen = writeln!(std::io::stderr(), "pinfetch-testkit: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(serve_commands());
    runtime.shutdown_background();
    ExitCode::SUCCESS
}

async fn serve_commands() {
    let mut kit = Kit::new();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let (id, command) = read(&line);
        match command.and_then(|command| kit.execute(command)) {
            Ok(outcome) => drop(tokio::spawn(async move { answer(&id, outcome.await) })),
            Err(error) => answer(&id, Err(error)),
        }
    }
}

fn read(line: &str) -> (Value, Result<Command, KitError>) {
    let mut fields = match serde_json::from_str::<Value>(line) {
        Ok(fields) => fields,
        Err(error) => return (Value::Null, Err(error.into())),
    };
    let id = fields
        .as_object_mut()
        .and_then(|fields| fields.remove("id"))
        .unwrap_or(Value::Null);
    (id, serde_json::from_value(fields).map_err(KitError::from))
}

fn answer(id: &Value, outcome: Outcome) {
    let answer = match outcome {
        Ok(ok) => json!({ "re": id, "ok": ok }),
        Err(error) => json!({ "re": id, "error": error.to_string() }),
    };
    // When nobody reads any more, standard input is about to close.
    let _unread = writeln!(std::io::stdout().lock(), "{answer}");
}
