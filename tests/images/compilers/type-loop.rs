#![recursion_limit = "1000000"]
macro_rules! grow { ($($t:tt)*) => { grow!($($t)* $($t)* x) }; }
grow!(x);
fn main() {}
