fn main() {
    let there = std::net::TcpStream::connect("127.0.0.1:{{PORT}}").is_ok();
    println!("{}", if there { "connected" } else { "none" });
}
