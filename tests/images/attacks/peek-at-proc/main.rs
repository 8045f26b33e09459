fn main() {
    for file in ["/proc/1/mem", "/proc/1/environ", "/proc/1/maps", "/proc/kcore"] {
        if std::fs::File::open(file).is_ok() {
            println!("{file}");
        }
    }
    println!("nothing");
}
