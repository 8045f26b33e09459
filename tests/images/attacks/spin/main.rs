fn main() {
    let mut i = 0u64;
    loop {
        i = unsafe { std::ptr::read_volatile(&i) }.wrapping_add(1);
    }
}
