use std::process::Command;

fn main() {
    loop {
        let _ = Command::new("/program/program").spawn();
    }
}
