package main

import (
	"fmt"
	"os/exec"
)

func main() {
	if exec.Command("/program/program").Start() != nil {
		fmt.Println("refused")
	} else {
		fmt.Println("started")
	}
}
