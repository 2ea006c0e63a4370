//! The program, by its standard input and output.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

#[test]
fn the_program_answers_commands_and_ends_with_its_input() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_pinfetch-testkit"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = program.stdin.take().unwrap();
    let mut answers = BufReader::new(program.stdout.take().unwrap()).lines();
    let mut ask = |line: String| -> Value {
        writeln!(input, "{line}").unwrap();
        serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap()
    };

    let issue = json!({ "id": 1, "cmd": "issue", "certificates": [{ "name": "leaf", "names": ["127.0.0.1"] }] });
    let issued = ask(issue.to_string());
    assert_eq!(issued["re"], 1);
    assert!(
        issued["ok"]["leaf"]["pin"]
            .as_str()
            .unwrap()
            .starts_with("sha256/")
    );
    let served =
        ask(json!({ "id": "two", "cmd": "serve", "chain": ["leaf"], "key": "leaf" }).to_string());
    assert_eq!(served["re"], "two");
    let port = u16::try_from(served["ok"]["port"].as_u64().unwrap()).unwrap();
    let mut live = TcpStream::connect(("127.0.0.1", port)).unwrap();

    for (wrong, words) in [
        (
            json!({ "id": 3, "cmd": "serve", "chain": ["nobody"], "key": "leaf" }),
            "\"nobody\"",
        ),
        (json!({ "id": 3, "cmd": "serve", "kay": "leaf" }), "kay"),
        (json!({ "id": 3, "cmd": "serve" }), "key"),
        (json!({ "id": 3, "cmd": "dance" }), "dance"),
        (json!({ "id": 3, "cmd": "stop", "server": 99 }), "99"),
    ] {
        let answer = ask(wrong.to_string());
        assert_eq!(answer["re"], 3);
        assert!(
            answer["error"].as_str().unwrap().contains(words),
            "{answer}"
        );
    }
    assert_eq!(ask("no JSON".into())["re"], Value::Null);

    drop(input);
    assert!(program.wait().unwrap().success());
    assert_eq!(live.read(&mut [0]).unwrap_or(0), 0); // what it served ended with it
}
