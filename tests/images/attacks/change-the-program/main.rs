fn main() {
    let changed = std::fs::write("/program/program", "").is_ok() || std::fs::remove_file("/program/program").is_ok();
    println!("{}", if changed { "changed" } else { "unchanged" });
}
