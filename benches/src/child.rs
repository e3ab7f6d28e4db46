//! Lines of text between a case and the processes that it starts.

use std::io::{BufRead as _, BufReader};
use std::process::ChildStdout;

/// Calls a function for each line that a child process prints, on a thread of its own, until the output ends.
pub(crate) fn for_each_line(output: ChildStdout, each: impl FnMut(String) + Send + 'static) {
    std::thread::spawn(move || {
        BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .for_each(each);
    });
}

/// Prints a line for the parent process.
#[expect(clippy::print_stdout, reason = "the parent process reads it")]
pub(crate) fn print_line(line: &str) {
    println!("{line}");
}
