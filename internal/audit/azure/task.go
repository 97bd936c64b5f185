package azure

import (
	"path"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/tree"
	"github.com/sallyport/sallyport/internal/boundary"
)

func join(dir, name string) string {
	if strings.HasPrefix(name, "/") {
		return strings.TrimPrefix(path.Clean(name), "/")
	}
	return path.Join(dir, name)
}

// connections are the inputs of tasks that name a service connection, in lower
// case, and what it is good for where the task does not say.
func connections() map[string]ci.Class {
	return map[string]ci.Class{
		"azuresubscription": ci.Deploy, "connectedservicename": ci.Deploy, "connectedservicenamearm": ci.Deploy, "azureresourcemanagerconnection": ci.Deploy,
		"kubernetesserviceconnection": ci.Deploy, "kubernetesserviceendpoint": ci.Deploy, "sshendpoint": ci.Deploy, "awscredentials": ci.Deploy, "serviceconnection": ci.Deploy,
		"containerregistry": ci.Publish, "dockerregistryserviceconnection": ci.Publish, "publishfeedcredentials": ci.Publish, "publishendpoint": ci.Publish, "customendpoint": ci.Publish,
		"nugetserviceconnections": ci.Publish, "pythonuploadserviceconnection": ci.Publish, "externalendpoint": ci.Publish, "mavenserviceconnections": ci.Publish,
		"githubconnection": ci.Repository, "connectedservicenameforsigning": ci.Sign,
	}
}

// task reads a task: what it runs, and which service connection it is given.
func (j *jobReader) task(s *ci.Step, i int, n, body tree.Node) {
	name, _, _ := strings.Cut(body.Text(), "@")
	in := n.Get("inputs")
	for _, p := range in.Pairs() {
		key := strings.ToLower(p.Key.Text())
		value := substitute(p.Value.Text(), j.s.params)
		if class, ok := connections()[key]; ok && value != "" {
			j.job.Credentials = append(j.job.Credentials, ci.Credential{
				Name: "connection " + value, Kind: ci.Connection, Classes: []ci.Class{class}, Scope: ci.MintedAt, Step: i, Enters: "service connection of the task", Where: p.Value.Place(),
			})
			continue
		}
		for _, v := range references(value) {
			j.secret(v, p.Key.Text(), i, "input "+p.Key.Text()+" of the task", p.Value.Place())
		}
	}
	if !j.known(s, i, strings.ToLower(name), in, body) {
		s.Events = append(s.Events, ci.Event{
			Tier: ci.ThirdParty, Text: body.Text(), Why: "the task is an extension; its newest version of that number runs", Ecosystem: "action", Where: body.Place(),
		})
	}
}

// known tells what a task of the service itself does.
func (j *jobReader) known(s *ci.Step, i int, name string, in, body tree.Node) bool {
	executes := func(ecosystem, why string) {
		s.Events = append(s.Events, ci.Event{Tier: ci.Executes, Text: body.Text() + " " + in.Get("command").Text(), Why: why, Ecosystem: ecosystem, Where: body.Place()})
	}
	act := func(class ci.Class, tool string) {
		s.Acts = append(s.Acts, ci.Act{Class: class, Text: strings.TrimSpace(body.Text() + " " + in.Get("command").Text()), Tool: tool, Where: body.Place()})
	}
	command := strings.ToLower(in.Get("command").Text())
	switch name {
	case "npm", "yarn":
		switch command {
		case "publish":
			act(ci.Publish, "npm")
		default:
			executes("npm", "it installs packages, or runs what was installed")
		}
	case "bash", "cmdline", "shellscript", "powershell", "azurecli", "azurepowershell", "batchscript":
		j.inline(s, i, name, in)
	case "dotnetcorecli", "vsbuild", "msbuild":
		if command == "push" {
			act(ci.Publish, "nuget")
			break
		}
		executes("nuget", "targets and generators of the packages run while it builds")
	case "nugetcommand":
		if command == "push" {
			act(ci.Publish, "nuget")
			break
		}
		s.Events = append(s.Events, ci.Event{Tier: ci.Compiles, Text: body.Text(), Why: "it fetches packages", Ecosystem: "nuget", Where: body.Place()})
	case "maven", "gradle", "ant":
		executes("maven", "plugins of the build run")
	case "gulp", "grunt":
		executes("npm", "it runs what was installed")
	case "docker", "dockercompose":
		if command == "" || strings.Contains(command, "push") {
			act(ci.Publish, "docker")
		}
	case "npmauthenticate", "pipauthenticate", "twineauthenticate", "nugetauthenticate", "mavenauthenticate":
		j.job.Credentials = append(j.job.Credentials, ci.Credential{
			Name: "feeds of " + body.Text(), Kind: ci.Session, Classes: []ci.Class{ci.Publish}, Scope: ci.MintedAt, Step: i, Enters: "task " + body.Text(), Where: body.Place(), OnDisk: true,
		})
	case "azurewebapp", "azurermwebappdeployment", "azurefunctionapp", "kubernetes", "kubernetesmanifest", "helmdeploy", "azurekeyvault", "azurefilecopy", "azurecontainerapps", "azurestaticwebapp", "copyfilesoverssh", "ssh", "ftpupload":
		act(ci.Deploy, "azure")
	case "githubrelease", "githubreleaseaction":
		act(ci.Repository, "github")
	case "esrpcodesigning", "trustedsigning", "azurecodesigning":
		act(ci.Sign, "esrp")
	case "publishpipelineartifact", "publishbuildartifacts":
		s.Stores = append(s.Stores, ci.Store{Kind: boundary.KindArtifact, Name: artifactName(in), Writes: true, Where: body.Place()})
	case "downloadpipelineartifact", "downloadbuildartifacts":
		s.Stores = append(s.Stores, ci.Store{Kind: boundary.KindArtifact, Name: artifactName(in), Reads: true, Where: body.Place()})
	case "cache":
		before, _, cut := strings.Cut(in.Get("key").Text(), "$(")
		s.Stores = append(s.Stores, ci.Store{Kind: boundary.KindCache, Name: before, Prefix: cut, Reads: true, Writes: true, Executed: true, Where: body.Place()})
	default:
		return harmless(name)
	}
	return true
}

// harmless are tasks of the service that set something up, or look.
func harmless(name string) bool {
	for _, p := range []string{
		"usenode", "nodetool", "usepythonversion", "usedotnet", "usruby", "useruby", "gotool", "javatoolinstaller", "dockerinstaller", "helminstaller", "kubectlinstaller", "terraforminstaller",
		"publishtestresults", "publishcodecoverageresults", "copyfiles", "deletefiles", "archivefiles", "extractfiles", "downloadsecurefile", "installsshkey", "delay", "manualvalidation", "vstest",
	} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

func artifactName(in tree.Node) string {
	for _, k := range []string{"artifact", "artifactName", "ArtifactName"} {
		if t := in.Get(k).Text(); t != "" {
			return t
		}
	}
	return ""
}

// inline reads the shell text of a task.
func (j *jobReader) inline(s *ci.Step, i int, name string, in tree.Node) {
	kind := "bash"
	if strings.Contains(name, "powershell") || in.Get("scriptType").Text() == "pscore" || in.Get("scriptType").Text() == "ps" {
		kind = "pwsh"
	}
	for _, key := range []string{"script", "inlineScript", "Inline", "inline"} {
		if t := in.Get(key); t.IsText() {
			j.shell(s, i, t, kind, in.Get("workingDirectory").Text())
			return
		}
	}
}
