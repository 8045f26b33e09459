type Grow<T extends any[]> = T["length"] extends 900 ? T : Grow<[...T, ...T, 1]>;
type Deep<T> = { a: Deep<[T, T]>; b: Deep<[T, T, T]> };
const x: Deep<Grow<[1]>> = 1;
