package main

var data = [1 << 31]byte{1}

func main() { println(data[5]) }
