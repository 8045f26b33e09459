package main

import (
	"fmt"
	"os"
)

func main() {
	for i := 0; i < 1000; i++ {
		if os.WriteFile(fmt.Sprint("f", i), make([]byte, 6000000), 0o644) != nil {
			fmt.Println("full")
			return
		}
	}
	fmt.Println("there was room for 6 GB")
}
