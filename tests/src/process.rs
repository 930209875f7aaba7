use std::{
    collections::VecDeque,
    env,
    io::{BufRead as _, BufReader, Read, Write as _},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::PATIENCE;

/// A child process that is killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Process {
    /// Starts a program with pipes for stdin, stdout and stderr.
    pub fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stdout = lines(child.stdout.take().expect("a pipe"));
        let stderr = lines(child.stderr.take().expect("a pipe"));
        Self { child, stdout, stderr }
    }

    /// Writes a line to the stdin of the process.
    pub fn write_line(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        if let Err(error) = writeln!(stdin, "{line}") {
            panic!("the program reads no input ({error}); its errors: {}", self.errors());
        }
    }

    /// Waits for a line on the stdout of the process.
    pub fn line(&mut self) -> String {
        match self.stdout.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("the program wrote nothing for {PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("the program ended: {}", self.errors()),
        }
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a living process");
    }

    /// Waits for the end of the process. Returns the status, and the lines on stdout and stderr.
    pub fn finish(mut self) -> (ExitStatus, Vec<String>, Vec<String>) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + PATIENCE;
        let (stdout, stderr) = (collect(&self.stdout, deadline), collect(&self.stderr, deadline));
        // The process has closed its pipes, so it is about to end.
        (self.child.wait().expect("a status"), stdout, stderr)
    }

    fn errors(&self) -> String {
        collect(&self.stderr, Instant::now() + Duration::from_secs(5)).join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    receiver
}

fn collect(lines: &Receiver<String>, deadline: Instant) -> Vec<String> {
    let mut collected = VecDeque::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => collected.push_back(line),
            Err(RecvTimeoutError::Disconnected) => return collected.into(),
            Err(RecvTimeoutError::Timeout) => panic!("the program does not end; it wrote {collected:?}"),
        }
    }
}

/// Builds the programs of both adapters, of the chat and of the market data, and returns their folder.
pub fn programs() -> PathBuf {
    programs_of(&["ws-std", "ws-smol", "ws-chat", "ws-market-data"])
}

/// Builds the programs of these packages with their combined features, and returns their folder.
pub fn programs_of(packages: &[&str]) -> PathBuf {
    build(packages, &["--examples"]).join("examples")
}

/// Builds the programs of the examples that stand in packages of their own, and returns their folder.
pub fn example_programs() -> PathBuf {
    build(&["ws-example-axum", "ws-example-hyper", "ws-example-tokio"], &["--bins"])
}

/// Builds a program of the benches, and returns its path.
pub fn bench_program(name: &str) -> PathBuf {
    build(&["ws-benches"], &["--bin", name]).join(name)
}

/// Builds targets of these packages, and returns the folder of the profile.
fn build(packages: &[&str], targets: &[&str]) -> PathBuf {
    // target/debug/deps/test-0123456789abcdef
    let test = env::current_exe().expect("the path of this test");
    let profile = test.ancestors().nth(2).expect("a target directory");
    let is_release = profile.ends_with("release");
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    build.args(["build", "--quiet"]).args(targets);
    build.args(packages.iter().map(|package| format!("--package={package}")));
    build.arg("--target-dir").arg(profile.parent().expect("a target directory"));
    build.args(is_release.then_some("--release"));
    // Without this, the variables that cargo sets for this test package would rebuild `ring` and everything above it.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            build.env_remove(&name);
        }
    }
    assert!(build.status().expect("cargo").success(), "{build:?} failed");
    profile.to_owned()
}
