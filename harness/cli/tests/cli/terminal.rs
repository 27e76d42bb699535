//! A terminal of a test's own: what a program shows there, and keys typed at it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

/// A program in a terminal.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    /// The program's end, kept open so that what it wrote last can be read.
    line: OwnedFd,
    shown: Arc<Mutex<Vec<u8>>>,
    /// Bytes that were waited for already.
    seen: usize,
}

impl Terminal {
    /// Starts a program in a terminal of so many columns.
    pub(crate) fn start(mut command: Command, columns: u16) -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let ends = openpty(Some(&size), None).unwrap();
        let end = || ends.slave.try_clone().unwrap();
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let mut screen = File::from(ends.master.try_clone().unwrap());
        let shown = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Linux says that there is nobody left with an error.
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                all.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self {
            child,
            keyboard: File::from(ends.master),
            line: ends.slave,
            shown,
            seen: 0,
        }
    }

    /// Everything shown so far.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).replace("\r\n", "\n")
    }

    /// Waits until a text is shown that was not waited for before.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let start = Instant::now();
        loop {
            let shown = self.shown.lock().unwrap().clone();
            let found = shown[self.seen..]
                .windows(text.len())
                .position(|window| window == text.as_bytes());
            if let Some(at) = found {
                self.seen += at + text.len();
                return;
            }
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "`{text}` is not shown: {}",
                self.shown()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn type_keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Whether what is typed is shown, and handed over line by line: as a shell expects to find it.
    pub(crate) fn is_as_found(&self) -> bool {
        let flags = tcgetattr(&self.line).unwrap().local_flags;
        flags.contains(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG)
    }

    /// Waits until the terminal is, or is not, as a shell expects it.
    pub(crate) fn wait_until_as_found(&self, expected: bool) {
        let start = Instant::now();
        while self.is_as_found() != expected {
            assert!(start.elapsed() < Duration::from_secs(60), "{}", self.shown());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the program's end.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        // Whatever it wrote comes before this.
        let mut line = File::from(self.line.try_clone().unwrap());
        line.write_all(b"<end of the program>").unwrap();
        self.wait_for("<end of the program>");
        (status, self.shown().replace("<end of the program>", ""))
    }
}
