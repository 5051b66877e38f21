package session

import (
	"errors"
	"strings"
)

// Kind is a kind of data set whose entries are sessions. Package traces reads those
// that are files.
type Kind struct {
	Name string // as DATASET names it, and cells without a scenario
	What string // in a few words, for the help

	File   bool // it is read from a file, or from a folder of files
	Texts  bool // it has the texts of its turns, which only a chat can send
	Mixed  bool // it may have such texts
	Live   bool // it has no answers of its own: the server's stand in the history
	Shared bool // its sessions share blocks with each other, so that they are not marked unless asked
}

// Kinds are all kinds of sessions, in the order of the help.
var (
	Weka     = &Kind{Name: "weka", What: "recorded agents as AgentX has them, a file or a folder", File: true}
	Mooncake = &Kind{Name: "mooncake", What: "lines of lengths and block ids, or of texts, with session_id and delay",
		File: true, Mixed: true, Shared: true}
	Turns = &Kind{Name: "turns", What: "conversations with all their turns, as ShareGPT's", File: true, Texts: true}
	Agent = &Kind{Name: "agentic-trace", What: "SGLang's traces of agents", File: true, Texts: true, Live: true}
	Multi = &Kind{Name: "multi_turn", What: "AIPerf's sessions of what users say", File: true, Texts: true, Live: true}
	DAG   = &Kind{Name: "dag_jsonl", What: "AIPerf's sessions that fork and spawn others", File: true, Texts: true,
		Live: true}
	Made = &Kind{Name: "sessions", What: "sessions that are made up"}

	Kinds = []*Kind{Weka, Mooncake, Turns, Agent, Multi, DAG, Made}
)

// String is the kind's name.
func (k *Kind) String() string { return k.Name }

// KindNamed is the kind of that name; the error lists the names there are.
func KindNamed(name string) (*Kind, error) {
	for _, k := range Kinds {
		if k.Name == name {
			return k, nil
		}
	}
	return nil, errors.New("want " + KindNames())
}

// KindNames lists the kinds, with commas between.
func KindNames() string {
	var names []string
	for _, k := range Kinds {
		names = append(names, k.Name)
	}
	return strings.Join(names, ", ")
}
