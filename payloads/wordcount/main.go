// Wordcount counts the words of a text: map and reduce in one program, as each
// Go module is 2 MB.
//
// Without arguments it reads text and writes a line "word count" for each word
// in it, sorted. With the argument "reduce" it reads such lines, of any number of
// texts one after the other, and writes the same for all of them together.
//
// It is an ordinary program: standard input, standard output, and nothing of
// Countersign's.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"unicode"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		os.Stderr.WriteString("wordcount: " + err.Error() + "\n")
		os.Exit(2)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	add := addText
	switch {
	case len(args) == 1 && args[0] == "reduce":
		add = addCounts
	case len(args) > 0:
		return errors.New("the only argument is reduce")
	}
	counts := map[string]uint64{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if err := add(counts, lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return write(out, counts)
}

// addText counts the words of a line: runs of letters, in lower case.
func addText(counts map[string]uint64, line []byte) error {
	for word := range bytes.FieldsFuncSeq(line, func(r rune) bool { return !unicode.IsLetter(r) }) {
		counts[string(bytes.ToLower(word))]++
	}
	return nil
}

func addCounts(counts map[string]uint64, line []byte) error {
	word, digits, _ := bytes.Cut(line, []byte(" "))
	n, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil || len(word) == 0 {
		return errors.New("want lines \"word count\", got " + strconv.Quote(string(line)))
	}
	counts[string(word)] += n
	return nil
}

func write(out io.Writer, counts map[string]uint64) error {
	words := make([]string, 0, len(counts))
	for word := range counts {
		words = append(words, word)
	}
	slices.Sort(words) // a map has no order, and this one's differs with the seed
	w := bufio.NewWriter(out)
	for _, word := range words {
		w.WriteString(word + " " + strconv.FormatUint(counts[word], 10) + "\n")
	}
	return w.Flush()
}
