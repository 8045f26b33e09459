package main

import (
	"fmt"
	"syscall"
)

func main() { fmt.Println(syscall.PtraceAttach(1)) }
