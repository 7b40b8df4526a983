package wire

import (
	"strconv"
	"strings"

	"github.com/countersign/countersign/internal/canon"
)

// maxTarget is the length of the longest target: an order's digest and a task.
const maxTarget = 64 + 1 + 13

// TaskTarget names a task in a kill: the order's digest and the task's number.
func TaskTarget(order canon.Digest, task uint64) string {
	return order.String() + "/" + strconv.FormatUint(task, 10)
}

// ParseTaskTarget undoes TaskTarget.
func ParseTaskTarget(s string) (order canon.Digest, task uint64, err error) {
	digest, number, _ := strings.Cut(s, "/")
	if order, err = canon.ParseDigest(digest); err != nil {
		return order, 0, err
	}
	task, err = strconv.ParseUint(number, 10, 64)
	if err != nil || task > MaxTask || TaskTarget(order, task) != s {
		return order, 0, canon.Fail(CodeMessage, "target %.80q names no task: want DIGEST/NUMBER", s)
	}
	return order, task, nil
}
