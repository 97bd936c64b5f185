package jenkins

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

func read(t *testing.T, text string) ci.Definition {
	t.Helper()
	d, err := Read(fstest.MapFS{"Jenkinsfile": {Data: []byte(text)}}, "Jenkinsfile", Options{Trusted: []string{"registry.example/own"}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// inStage reads steps of a declarative pipeline of one stage.
func inStage(t *testing.T, steps string) ci.Definition {
	t.Helper()
	return read(t, "pipeline { agent any; stages { stage('one') { steps {\n"+steps+"\n} } } }")
}

func gapped(d ci.Definition, part string) bool {
	return slices.ContainsFunc(d.Gaps, func(g ci.Gap) bool { return strings.Contains(g.What+": "+g.Why, part) })
}

func TestOwns(t *testing.T) {
	for path, want := range map[string]bool{
		"Jenkinsfile": true, "ci/Jenkinsfile": true, "Jenkinsfile.release": true, "build.jenkinsfile": true, "x.jenkinsFile": true,
		"Jenkinsfile.md": false, "jenkins.yaml": false, "notJenkinsfile": false,
	} {
		if Owns(path) != want {
			t.Errorf("Owns(%s) is %t", path, !want)
		}
	}
}

// Each kind of binding, by a name that tells nothing and by one that tells.
func TestBindings(t *testing.T) {
	for binding, want := range map[string]string{
		"string(credentialsId: 'x', variable: 'V')":                                           "x secret [unsorted]",
		"string(credentialsId: 'npm-token', variable: 'V')":                                   "npm-token secret [publish]",
		"string(credentialsId: 'x', variable: 'COSIGN_KEY')":                                  "x secret [sign]",
		"usernamePassword(credentialsId: 'x', usernameVariable: 'U', passwordVariable: 'V')":  "x secret [unsorted]",
		"usernameColonPassword(credentialsId: 'x', variable: 'V')":                            "x secret [unsorted]",
		"gitUsernamePassword(credentialsId: 'x')":                                             "x secret [repository]",
		"sshUserPrivateKey(credentialsId: 'x', keyFileVariable: 'V')":                         "x file [deploy] disk",
		"file(credentialsId: 'x', variable: 'V')":                                             "x file [unsorted] disk",
		"zip(credentialsId: 'x', variable: 'V')":                                              "x file [unsorted] disk",
		"certificate(credentialsId: 'x', keystoreVariable: 'V', passwordVariable: 'W')":       "x file [sign] disk",
		"dockerCert(credentialsId: 'x', variable: 'V')":                                       "x file [deploy] disk",
		"kubeconfigFile(credentialsId: 'x', variable: 'V')":                                   "x file [deploy] disk",
		"kubeconfigContent(credentialsId: 'x', variable: 'V')":                                "x secret [deploy]",
		"aws(credentialsId: 'x')":                                                             "x secret [deploy]",
		"azureServicePrincipal('x')":                                                          "x secret [deploy]",
		"vaultString(credentialsId: 'x', variable: 'V')":                                      "x secret [unsorted]",
		"vaultUsernamePassword(credentialsId: 'x')":                                           "x secret [unsorted]",
		"[$class: 'StringBinding', credentialsId: 'x', variable: 'V']":                        "x secret [unsorted]",
		"[$class: 'FileBinding', credentialsId: 'x', variable: 'V']":                          "x file [unsorted] disk",
		"[$class: 'UsernamePasswordMultiBinding', credentialsId: 'x', passwordVariable: 'V']": "x secret [unsorted]",
		"[$class: 'SSHUserPrivateKeyBinding', credentialsId: 'x', keyFileVariable: 'V']":      "x file [deploy] disk",
		"[$class: 'AmazonWebServicesCredentialsBinding', credentialsId: 'x']":                 "x secret [deploy]",
		"string(credentialsId: \"${which}\", variable: 'CARGO_TOKEN')":                        "${which} secret [publish]",
		"somethingElse(credentialsId: 'deploy-x')":                                            "deploy-x secret [deploy]",
	} {
		d := inStage(t, "withCredentials(["+binding+"]) { echo 'x' }")
		if got := described(d); got != want {
			t.Errorf("%s gives %q, not %q", binding, got, want)
		}
	}
}

func described(d ci.Definition) string {
	for _, c := range d.Jobs[0].Credentials {
		if c.Kind == ci.Agent {
			continue
		}
		s := fmt.Sprintf("%s %s %s", c.Name, c.Kind, c.Classes)
		if c.OnDisk {
			s += " disk"
		}
		return s
	}
	return ""
}

func TestGivers(t *testing.T) {
	for block, want := range map[string]string{
		"sshagent(['x'])":                         "x secret [deploy]",
		"sshagent(credentials: ['x'])":            "x secret [deploy]",
		"withAWS(credentials: 'x', region: 'eu')": "x session [deploy]",
		"withAWS(role: 'x')":                      "x session [deploy]",
		"withVault([vaultSecrets: [[path: 'p', secretValues: [[envVar: 'NPM_TOKEN', vaultKey: 'k']]]]])": "NPM_TOKEN secret [publish]",
		"withSecrets(secrets: [[envVar: 'GPG_KEY', secretRef: 'r']])":                                    "GPG_KEY secret [sign]",
		"withKubeConfig([credentialsId: 'x'])":                                                           "x file [deploy] disk",
		"withKubeCredentials(kubectlCredentials: [[credentialsId: 'x']])":                                "x file [deploy] disk",
		"withDockerRegistry([credentialsId: 'x', url: ''])":                                              "x session [publish] disk",
		"docker.withRegistry('https://registry.example', 'x')":                                           "x session [publish] disk",
		"docker.withServer('tcp://host', 'x')":                                                           "x session [deploy] disk",
		"withAzureCLI('x')":                                                                              "",
		"configFileProvider([configFile(fileId: 'x', variable: 'F')])":                                   "x file [unsorted] disk",
		"withMaven(mavenSettingsConfig: 'x')":                                                            "x file [unsorted] disk",
		"withMaven()":                                                                                    "",
		"withSonarQubeEnv('x')":                                                                          "x secret [low]",
	} {
		if strings.Contains(block, "withAzureCLI") {
			want = "x session [deploy]"
		}
		if got := described(inStage(t, block+" { echo 'y' }")); got != want {
			t.Errorf("%s gives %q, not %q", block, got, want)
		}
	}
}

// What gives a credential that cannot be told is a gap.
func TestUnnamedCredential(t *testing.T) {
	for _, block := range []string{"withVault(config)", "withSecrets(secrets: all())", "withCredentials(those)", "withCredentials([string(variable: 'X')])", "sshagent(keys)"} {
		if d := inStage(t, block+" { echo 'y' }"); !gapped(d, "a credential that the file does not name") {
			t.Errorf("%s: gaps %v", block, d.Gaps)
		}
	}
	d := read(t, "def those = [string(credentialsId: 'npm', variable: 'T')]\nnode { withCredentials(those) { sh 'x' } }")
	if got := described(d); got != "npm secret [publish]" {
		t.Errorf("a list that has a name gives %q", got)
	}
}

func TestPluginActs(t *testing.T) {
	for step, want := range map[string]string{
		"s3Upload(bucket: 'b')": "deploy aws", "s3Delete(bucket: 'b')": "deploy aws", "cfnUpdate(stack: 's')": "deploy aws", "ecrLogin()": "publish aws",
		"sshPublisher(publishers: [])": "deploy ssh", "sshCommand(remote: r)": "deploy ssh", "sshPut(remote: r)": "deploy ssh",
		"ansiblePlaybook(playbook: 'p')": "deploy ansible", "kubernetesDeploy(configs: 'c')": "deploy kubectl", "azureWebAppPublish(appName: 'a')": "deploy az",
		"openshiftDeploy(depCfg: 'd')": "deploy oc", "googleStorageUpload(bucket: 'b')": "deploy gcloud", "nexusArtifactUploader(version: '1')": "publish nexus",
		"nexusPublisher(x: 'y')": "publish nexus", "rtUpload(serverId: 's')": "publish artifactory", "rtMavenDeployer(id: 's')": "publish artifactory",
		"rtPublishBuildInfo(serverId: 's')": "publish artifactory", "rtDockerPush(serverId: 's')": "publish artifactory",
		"createGitHubRelease(tag: 't')": "publish gh", "uploadGithubReleaseAsset(tag: 't')": "publish gh", "gitPush(gitScm: g)": "repository git",
		"docker.build('x').push()": "publish docker", "names.push('x')": "",
	} {
		got := ""
		for _, j := range inStage(t, step).Jobs {
			for _, s := range j.Steps {
				for _, a := range s.Acts {
					got = string(a.Class) + " " + a.Tool
				}
			}
		}
		if got != want {
			t.Errorf("%s does %q, not %q", step, got, want)
		}
	}
}

func TestWhen(t *testing.T) {
	for cond, want := range map[string]string{
		"branch 'main'": "branch", "branch pattern: 'release/*'": "branch", "branch '*'": "all", "branch 'PR-*'": "change request", "branch \"${b}\"": "all",
		"tag 'v*'": "branch", "buildingTag()": "branch", "changeRequest()": "change request", "changeRequest target: 'main'": "change request",
		"not { changeRequest() }": "branch", "not { branch 'main' }": "all", "anyOf { branch 'main'; changeRequest() }": "all", "anyOf { branch 'a'; tag 'b' }": "branch",
		"allOf { branch 'main'; environment name: 'A', value: 'b' }": "branch", "triggeredBy 'TimerTrigger'": "branch", "triggeredBy 'UserIdCause'": "all",
		"expression { env.BRANCH_NAME == 'main' }": "branch", "expression { env.BRANCH_NAME == 'main' || x }": "all", "expression { return env.CHANGE_ID != null }": "change request",
		"expression { !env.CHANGE_ID }": "branch", "expression { !(env.CHANGE_ID) }": "all", "expression { env.TAG_NAME != null }": "branch", "expression { params.X }": "all",
		"beforeAgent true": "all", "equals expected: 1, actual: x": "all",
	} {
		d := read(t, "pipeline { agent any; stages { stage('one') { when { "+cond+" }\n steps { echo 'x' } } } }")
		got := "all"
		if tr := d.Jobs[0].Triggers; len(tr) == 1 {
			got = tr[0].Event
		}
		if got != want {
			t.Errorf("when %s: started by %s, not %s", cond, got, want)
		}
	}
}

// What the pipeline is known for not doing is no gap; all else is one.
func TestGaps(t *testing.T) {
	for step, want := range map[string]bool{
		"echo 'x'": false, "junit 'x.xml'": false, "cleanWs()": false, "retry(3) { sh 'x' }": false, "x = y.trim().split(',')": false, "items.each { echo it }": false,
		"if (a) { echo 'b' } else { echo 'c' }": false, "env.A = 'b'": false, "currentBuild.result = 'x'": false, "currentBuild.rawBuild.save()": false, "for (x in y) { x.run('a') }": false,
		"Util.run('x')": false, "deploy('x')": true, "deploy()": true, "deploy { }": true, "lib.deploy('x')": true, "load 'x.groovy'": true, "build job: 'x'": true,
		"library 'x'": true, "sh(command())": true, "if (a) { deploy('x') } else if (b) { }": true, "def y = deploy('x')": true, "timeout(5) { deploy 'x' }": true, "switch (x) {\ncase 'y': deploy('x')\n}": true,
	} {
		if d := inStage(t, step); (len(d.Gaps) > 0) != want {
			t.Errorf("%s: gaps %v", step, d.Gaps)
		}
	}
}

func TestSteeredText(t *testing.T) {
	for _, name := range strings.Fields("CHANGE_TITLE CHANGE_BRANCH CHANGE_AUTHOR_DISPLAY_NAME CHANGE_AUTHOR_EMAIL CHANGE_FORK ghprbPullTitle ghprbPullLongDescription " +
		"ghprbSourceBranch ghprbCommentBody gitlabSourceBranch gitlabMergeRequestTitle gitlabMergeRequestDescription gitlabTriggerPhrase") {
		for text, want := range map[string]bool{`"echo ${env.` + name + `}"`: true, `"echo $` + name + `"`: true, `'echo $` + name + `'`: false, `"echo \$` + name + `"`: false} {
			d := inStage(t, "sh "+text)
			got := slices.ContainsFunc(d.Jobs[0].Steps[0].Events, func(e ci.Event) bool { return e.Tier == ci.Steered })
			if got != want {
				t.Errorf("sh %s: steered is %t", text, got)
			}
		}
	}
}

func TestContainer(t *testing.T) {
	for image, want := range map[string][2]bool{
		"maven:3": {true, false}, "acme/tool:1": {false, false}, "registry.example/own/x:1": {true, false}, "public.example/docker/library/alpine:3": {true, false},
		"acme/tool@sha256:4e7a52dd1f14872430652bb3b027405b8dfd17c4538751c620ac005741ef9698": {false, true},
	} {
		e := read(t, "pipeline { agent { docker '"+image+"' }\n stages { stage('a') { steps { echo 'x' } } } }").Jobs[0].Steps[0].Events[0]
		if e.Own != want[0] || e.Pinned != want[1] || e.Text != image || e.Where.Column != 20 {
			t.Errorf("%s: %+v", image, e)
		}
	}
}

func TestAmbient(t *testing.T) {
	for steps, want := range map[string]string{
		"sh 'npm publish'": "[publish] true",
		"sh 'make'":        "[ambient] false",
		"withCredentials([string(credentialsId: 'x', variable: 'V')]) { sh 'npm publish' }": "[ambient] false",
	} {
		for _, c := range inStage(t, steps).Jobs[0].Credentials {
			if got := fmt.Sprint(c.Classes, " ", c.Assumed); c.Kind == ci.Agent && got != want {
				t.Errorf("%s: the agent is %s, not %s", steps, got, want)
			}
		}
	}
}
