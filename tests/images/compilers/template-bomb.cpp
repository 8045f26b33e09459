template <class T, int n> struct Pair {
    Pair<Pair<T, n - 1>, n - 1> a;
    Pair<Pair<int, n - 1>, n - 1> b;
};
template <class T> struct Pair<T, 0> { T x; };
int main() {
    Pair<int, 30> p;
    return sizeof p;
}
