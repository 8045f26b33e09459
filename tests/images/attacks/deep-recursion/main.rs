fn f(n: u64) -> u64 {
    let here = std::hint::black_box([n; 100]);
    f(n + 1) + here[3]
}

fn main() {
    println!("{}", f(0));
}
