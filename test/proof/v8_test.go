package proof

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// onV8 carries out several plans in one process of node.
func onV8(dir, spectest string, plans [][]step) ([][]outcome, error) {
	job, err := json.Marshal(map[string]any{"Spectest": spectest, "Plans": plans})
	if err != nil {
		return nil, err
	}
	in, out := filepath.Join(dir, "job.json"), filepath.Join(dir, "result.json")
	if err := os.WriteFile(in, job, 0o600); err != nil {
		return nil, err
	}
	if text, err := exec.Command("node", "--stack-size=800", "v8.mjs", in, out).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("running node: %w\n%s", err, text)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		return nil, err
	}
	var all [][]outcome
	return all, json.Unmarshal(data, &all)
}
