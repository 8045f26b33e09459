package main

import (
	"fmt"
	"os"
)

func main() {
	for _, file := range []string{"/proc/1/mem", "/proc/1/environ", "/proc/1/maps", "/proc/kcore"} {
		if _, err := os.Open(file); err == nil {
			fmt.Println(file)
		}
	}
	fmt.Println("nothing")
}
