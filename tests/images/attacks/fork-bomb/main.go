package main

import "os/exec"

func main() {
	for {
		exec.Command("/program/program").Start()
	}
}
