//! The binary as an operator meets it: what it prints, in which language, and how it ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn relay(args: &[&str], locale: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_comptoir-relay"));
    command.args(args).env("COMPTOIR_LANG", locale).env("RUST_LOG", "warn").stdin(Stdio::null());
    command
}

fn run(args: &[&str], locale: &str) -> Output {
    relay(args, locale).output().expect("the binary runs")
}

/// Failed as it should: this exit code, nothing on stdout, one line on stderr.
fn failure(args: &[&str], locale: &str, code: i32) -> String {
    let output = run(args, locale);
    let line = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{line}");
    assert_eq!(line.trim_end().lines().count(), 1, "{line}");
    line
}

fn serve(data: &Path) -> (Child, String) {
    let data = data.to_str().expect("a path");
    let mut child = relay(&["serve", "--data", data, "--listen", "127.0.0.1:0"], "en")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("its output")).read_line(&mut line).expect("a line");
    let address = line.strip_prefix("listening on ").expect(&line).trim_end().to_owned();
    (child, address)
}

fn get(address: &str, path: &str) -> String {
    ask(address, "GET", path)
}

fn ask(address: &str, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn it_serves_makes_tokens_meanwhile_and_ends_with_0_at_a_signal() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().to_str().expect("a path");
    for signal in ["-TERM", "-INT"] {
        let (mut child, address) = serve(dir.path());
        assert!(get(&address, "/healthz").ends_with("\r\n\r\nok"));
        assert!(get(&address, "/readyz").starts_with("HTTP/1.1 200"));
        for path in ["/healthz", "/readyz"] {
            let answer = ask(&address, "HEAD", path);
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n"), "{answer}");
            assert!(ask(&address, "POST", path).starts_with("HTTP/1.1 405"));
        }
        assert!(get(&address, "/nothing").starts_with("HTTP/1.1 404"));
        let token = run(&["token", "create", "--data", data, "--workspace", "cafe", "--expires", "30d"], "en");
        let token = String::from_utf8(token.stdout).expect("text");
        assert!(token.starts_with("v4.public.") && token.trim_end().lines().count() == 1, "{token}");

        let used = failure(&["serve", "--data", data, "--listen", "127.0.0.1:0"], "en", 1);
        assert!(used.contains("in use by another process"), "{used}");
        let other = tempfile::tempdir().expect("a folder");
        let taken =
            failure(&["serve", "--data", other.path().to_str().expect("a path"), "--listen", &address], "fr", 1);
        assert!(taken.contains("utilisée par un autre programme"), "{taken}");

        let pid = child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
        assert_eq!(child.wait().expect("an end").code(), Some(0));
    }
}

#[test]
fn a_command_line_that_is_wrong_is_told_in_one_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().to_str().expect("a path");
    let create = |more: &[&'static str]| {
        let mut args = vec!["token", "create", "--data", data];
        args.extend(more);
        failure(&args, "en", 2)
    };
    assert!(failure(&[], "en", 2).contains("a command is missing"));
    assert!(failure(&["token"], "fr", 2).contains("il manque une commande"));
    assert!(failure(&["sing"], "en", 2).contains("no command \"sing\""));
    assert!(failure(&["serve"], "en", 2).contains("--data"));
    assert!(failure(&["serve", "--dta", "x"], "fr", 2).contains("« --dta » n'existe pas"));
    assert!(create(&["--workspace", "Café"]).contains("workspace \"Café\" is not valid"));
    assert!(create(&["--workspace", "cafe", "--role", "boss"]).contains("no role \"boss\""));
    assert!(create(&["--workspace", "cafe", "--expires", "soon"]).contains("\"soon\" is no time"));
}

#[test]
fn settings_that_are_wrong_are_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let file = dir.path().join("relay.toml");
    let (data, config) = (data.to_str().expect("a path"), file.to_str().expect("a path"));
    let serve = ["serve", "--data", data, "--config", config];
    assert!(failure(&serve, "en", 1).contains("cannot be read"));
    for (settings, named) in [
        ("cache_bytes = 1\nlitsen = \"x\"\n", "line 2: unknown field `litsen`"),
        ("listen = 7\n", "line 1"),
        ("listen = \"here\"\n", "no address to listen on"),
        ("connections_max = 0\n", "connections_max is 0"),
    ] {
        std::fs::write(&file, settings).expect("written");
        let line = failure(&serve, "en", 1);
        assert!(line.contains(named), "{line}");
    }
}

#[test]
fn a_folder_of_a_newer_release_is_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().to_str().expect("a path");
    let (mut child, _) = serve(dir.path());
    child.kill().and_then(|()| child.wait()).expect("killed");
    std::fs::write(dir.path().join("log/format"), "2\n").expect("written");
    let line = failure(&["serve", "--data", data, "--listen", "127.0.0.1:0"], "fr", 1);
    assert!(line.contains("version plus récente"), "{line}");
}

#[test]
fn help_is_there_in_both_languages() {
    for (locale, word) in [("en", "Usage: "), ("fr", "Usage : "), ("fr_FR.UTF-8", "Usage : "), ("de", "Usage: ")] {
        for args in [&["--help"][..], &["serve", "--help"], &["token", "--help"], &["token", "create", "--help"]] {
            let output = run(args, locale);
            let text = String::from_utf8(output.stdout).expect("text");
            assert!(output.status.success() && text.contains(word), "{text}");
        }
    }
    assert!(run(&["--version"], "en").stdout.starts_with(b"comptoir-relay "));
}
