constexpr long spin(long n) {
    long sum = 0;
    for (long i = 0; i < n; i++)
        for (long j = 0; j < 200000; j++) sum += i ^ j;
    return sum;
}
#pragma GCC optimize("O0")
template <long n> struct Run { static constexpr long value = spin(n) + Run<n - 1>::value; };
template <> struct Run<0> { static constexpr long value = 0; };
int main() { static_assert(Run<800>::value != 1); }
