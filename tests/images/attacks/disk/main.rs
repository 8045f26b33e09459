fn main() {
    for i in 0..1000 {
        if std::fs::write(format!("f{i}"), vec![0u8; 6000000]).is_err() {
            println!("full");
            return;
        }
    }
    println!("there was room for 6 GB");
}
