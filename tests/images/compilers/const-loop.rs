#![feature(const_eval_limit)]
const fn spin() -> u64 {
    let mut i = 0;
    while i < u64::MAX {
        i += 1;
    }
    i
}
const X: u64 = spin();
fn main() { println!("{X}"); }
