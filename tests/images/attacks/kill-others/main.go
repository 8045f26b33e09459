package main

import (
	"fmt"
	"os"
	"syscall"
)

func main() {
	for _, pid := range []int{1, os.Getppid(), -1} {
		syscall.Kill(pid, syscall.SIGKILL)
		syscall.Kill(pid, syscall.SIGSTOP)
	}
	fmt.Println("alive")
}
