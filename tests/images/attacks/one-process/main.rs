fn main() {
    let started = std::process::Command::new("/program/program").spawn().is_ok();
    println!("{}", if started { "started" } else { "refused" });
}
