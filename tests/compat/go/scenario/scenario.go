// Package scenario is what the suites in Go share: scenarios that run one after the other, and a line of verdict each.
package scenario

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"reflect"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"
)

// Bootstrap is the address of the broker.
var Bootstrap = os.Getenv("BOOTSTRAP")

// Scenario is a function with the name to report.
type Scenario struct {
	Name string
	Run  func(t *T)
}

// T is handed to a scenario; its methods end the scenario when something is wrong.
type T struct {
	// Ctx ends with the scenario, and long before the patience of the reader does.
	Ctx context.Context
}

type verdict struct{ skip, fail string }

var number atomic.Int64

// Run runs the scenarios named on the command line, or all, and ends the process.
func Run(scenarios ...Scenario) {
	failed := false
	for _, s := range scenarios {
		if len(os.Args) > 1 && !contains(os.Args[1:], s.Name) {
			continue
		}
		start := time.Now()
		switch v := runOne(s); {
		case v.skip != "":
			fmt.Printf("skip %s: %s\n", s.Name, v.skip)
		case v.fail != "":
			failed = true
			fmt.Printf("fail %s: %s\n", s.Name, strings.ReplaceAll(v.fail, "\n", " "))
		default:
			fmt.Printf("pass %s %.1fs\n", s.Name, time.Since(start).Seconds())
		}
	}
	if failed {
		os.Exit(1)
	}
}

func runOne(s Scenario) (v verdict) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	defer func() {
		switch r := recover().(type) {
		case nil:
		case verdict:
			v = r
			if v.fail != "" {
				fmt.Fprintf(os.Stderr, "%s: %s\n%s\n", s.Name, v.fail, debug.Stack())
			}
		default:
			v = verdict{fail: fmt.Sprint("panic: ", r)}
			fmt.Fprintf(os.Stderr, "%s: %v\n%s\n", s.Name, r, debug.Stack())
		}
	}()
	s.Run(&T{Ctx: ctx})
	return
}

// OK fails on an error.
func (t *T) OK(err error) {
	if err != nil {
		t.Failf("%v", err)
	}
}

// Failf ends the scenario.
func (t *T) Failf(format string, args ...any) { panic(verdict{fail: fmt.Sprintf(format, args...)}) }

// Equal compares deeply and shows both sides, shortened.
func (t *T) Equal(found, expected any) {
	if f, ok := found.([]byte); ok {
		if e, ok := expected.([]byte); ok && bytes.Equal(f, e) && (f == nil) == (e == nil) {
			return
		}
	}
	if !reflect.DeepEqual(found, expected) {
		t.Failf("expected %.300s, found %.300s", fmt.Sprintf("%#v", expected), fmt.Sprintf("%#v", found))
	}
}

// Until waits for a condition.
func (t *T) Until(what string, condition func() bool) {
	deadline := time.Now().Add(time.Minute)
	for !condition() {
		if time.Now().After(deadline) {
			t.Failf("waited in vain for %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Control asks for "restart" or "crash" of the broker and returns when it is ready again.
func (t *T) Control(what string) {
	address := os.Getenv("CONTROL")
	if address == "" {
		panic(verdict{skip: "the broker is not ours to restart"})
	}
	connection, err := net.Dial("tcp", address)
	t.OK(err)
	defer connection.Close()
	fmt.Fprintln(connection, what)
	answer, err := bufio.NewReader(connection).ReadString('\n')
	t.OK(err)
	t.Equal(strings.TrimSpace(answer), "ok")
}

// Unique is a name that nobody used before.
func Unique(word string) string {
	return fmt.Sprintf("%s-%d-%d", word, os.Getpid(), number.Add(1))
}

func contains(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}
