// Command verdicts turns the events of `go test -json` into the verdicts that the other suites print.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

func main() {
	failed, ended := false, false
	output := map[string][]string{}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var event struct {
			Action, Test, Output string
			Elapsed              float64
		}
		if json.Unmarshal(lines.Bytes(), &event) != nil {
			fmt.Fprintln(os.Stderr, lines.Text())
			continue
		}
		if event.Test == "" {
			// Of the package as a whole: tells that nothing was cut off.
			ended = ended || event.Action == "pass" || event.Action == "fail"
			if event.Action == "output" {
				fmt.Fprint(os.Stderr, event.Output)
			}
			continue
		}
		switch event.Action {
		case "output":
			output[event.Test] = append(output[event.Test], event.Output)
		case "pass":
			fmt.Printf("pass %s %.1fs\n", event.Test, event.Elapsed)
		case "skip":
			fmt.Printf("skip %s: its own choice\n", event.Test)
		case "fail":
			failed = true
			said := strings.Join(output[event.Test], "")
			fmt.Fprintln(os.Stderr, said)
			fmt.Printf("fail %s: %s\n", event.Test, strings.ReplaceAll(why(output[event.Test]), "\n", " "))
		}
		if event.Action != "output" && event.Action != "run" {
			delete(output, event.Test)
		}
	}
	if !ended {
		fmt.Println("fail (all): the tests did not come to an end")
	}
	if failed || !ended {
		os.Exit(1)
	}
}

// why picks the line in which the test itself speaks, out of all that the client logged.
func why(output []string) string {
	for _, line := range output {
		if strings.Contains(line, "_test.go:") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
