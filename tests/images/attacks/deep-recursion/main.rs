fn f(n: u64) -> u64 {
    let here = [n; 100];
    f(n + 1) + unsafe { std::ptr::read_volatile(&here[3]) }
}

fn main() {
    println!("{}", f(0));
}
