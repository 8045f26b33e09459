package main

import (
	"fmt"
	"os"
)

func main() {
	if os.WriteFile("/program/program", nil, 0o755) == nil || os.Remove("/program/program") == nil {
		fmt.Println("changed")
	}
	fmt.Println("unchanged")
}
