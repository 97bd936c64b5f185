package jenkins

import "github.com/sallyport/sallyport/internal/audit/ci"

// bindingKind is one way to name a credential in withCredentials.
type bindingKind struct {
	name  string
	kind  ci.Kind
	class ci.Class // where its names tell nothing; empty: it stays unsorted
	disk  bool
}

func kinds() []bindingKind {
	return []bindingKind{
		{"string", ci.Secret, "", false},
		{"StringBinding", ci.Secret, "", false},
		{"usernamePassword", ci.Secret, "", false},
		{"usernameColonPassword", ci.Secret, "", false},
		{"UsernamePasswordMultiBinding", ci.Secret, "", false},
		{"gitUsernamePassword", ci.Secret, ci.Repository, false},
		{"sshUserPrivateKey", ci.File, ci.Deploy, true},
		{"SSHUserPrivateKeyBinding", ci.File, ci.Deploy, true},
		{"file", ci.File, "", true},
		{"FileBinding", ci.File, "", true},
		{"zip", ci.File, "", true},
		{"certificate", ci.File, ci.Sign, true},
		{"dockerCert", ci.File, ci.Deploy, true},
		{"kubeconfigFile", ci.File, ci.Deploy, true},
		{"kubeconfigContent", ci.Secret, ci.Deploy, false},
		{"aws", ci.Secret, ci.Deploy, false},
		{"AmazonWebServicesCredentialsBinding", ci.Secret, ci.Deploy, false},
		{"azureServicePrincipal", ci.Secret, ci.Deploy, false},
		{"vaultString", ci.Secret, "", false},
		{"vaultUsernamePassword", ci.Secret, "", false},
	}
}

// giver is a block that gives its steps credentials, other than withCredentials.
// A name that begins with a dot is a method of any object.
type giver struct {
	name   string
	keys   string // arguments that name them
	from   int    // else: its texts from this one on; -1: none
	kind   ci.Kind
	class  ci.Class // where the name tells nothing
	always bool     // whatever the name says
	disk   bool
	needed bool // without one it makes no sense
}

func givers() []giver {
	return []giver{
		{"sshagent", "credentials", 0, ci.Secret, ci.Deploy, false, false, true},
		{"withAWS", "credentials role", -1, ci.Session, ci.Deploy, true, false, false},
		{"withVault", "envVar", -1, ci.Secret, ci.Unsorted, false, false, true},
		{"withSecrets", "envVar", -1, ci.Secret, ci.Unsorted, false, false, true},
		{"withKubeConfig", "credentialsId", -1, ci.File, ci.Deploy, true, true, false},
		{"withKubeCredentials", "credentialsId", -1, ci.File, ci.Deploy, true, true, false},
		{"withDockerRegistry", "credentialsId", 1, ci.Session, ci.Publish, true, true, false},
		{"docker.withRegistry", "credentialsId", 1, ci.Session, ci.Publish, true, true, false},
		{"docker.withServer", "credentialsId", 1, ci.Session, ci.Deploy, true, true, false},
		{"withAzureCLI", "credentialsId", 0, ci.Session, ci.Deploy, true, false, false},
		{"configFileProvider", "fileId", -1, ci.File, ci.Unsorted, false, true, true},
		{"withMaven", "mavenSettingsConfig globalMavenSettingsConfig", -1, ci.File, ci.Unsorted, false, true, false},
		{"withSonarQubeEnv", "installationName", 0, ci.Secret, ci.Low, true, false, false},
	}
}

// pluginAct is a step of a plugin that uses a credential. A name that begins
// with a dot is a method of any object.
type pluginAct struct {
	name  string
	class ci.Class
	tool  string
}

func pluginActs() []pluginAct {
	return []pluginAct{
		{"s3Upload", ci.Deploy, "aws"},
		{"s3Delete", ci.Deploy, "aws"},
		{"cfnUpdate", ci.Deploy, "aws"},
		{"ecrLogin", ci.Publish, "aws"},
		{"sshPublisher", ci.Deploy, "ssh"},
		{"sshCommand", ci.Deploy, "ssh"},
		{"sshPut", ci.Deploy, "ssh"},
		{"ansiblePlaybook", ci.Deploy, "ansible"},
		{"kubernetesDeploy", ci.Deploy, "kubectl"},
		{"azureWebAppPublish", ci.Deploy, "az"},
		{"openshiftDeploy", ci.Deploy, "oc"},
		{"googleStorageUpload", ci.Deploy, "gcloud"},
		{"nexusArtifactUploader", ci.Publish, "nexus"},
		{"nexusPublisher", ci.Publish, "nexus"},
		{"rtUpload", ci.Publish, "artifactory"},
		{"rtMavenDeployer", ci.Publish, "artifactory"},
		{"rtPublishBuildInfo", ci.Publish, "artifactory"},
		{"rtDockerPush", ci.Publish, "artifactory"},
		{"createGitHubRelease", ci.Publish, "gh"},
		{"uploadGithubReleaseAsset", ci.Publish, "gh"},
		{"gitPush", ci.Repository, "git"},
		{".push", ci.Publish, "docker"},
	}
}

// requesterText are variables that whoever opens a change request decides.
const requesterText = "CHANGE_TITLE CHANGE_BRANCH CHANGE_AUTHOR_DISPLAY_NAME CHANGE_AUTHOR_EMAIL CHANGE_FORK " +
	"ghprbPullTitle ghprbPullLongDescription ghprbSourceBranch ghprbCommentBody gitlabSourceBranch gitlabMergeRequestTitle gitlabMergeRequestDescription gitlabTriggerPhrase"

// roots are objects whose methods run no code of others.
func roots() []string {
	return []string{"env", "params", "currentBuild", "docker", "scm", "this", "steps", "Math", "JsonOutput", "it", "manager", "pipeline", "e", "ex", "err"}
}

// quiet are steps and words that run nothing of their own.
const quiet = `if else for while do try catch finally switch default return throw new assert import package break continue def synchronized
pipeline agent any none environment options parameters triggers tools stages stage steps script post when parallel matrix axes axis excludes exclude
always success failure unstable changed fixed regression aborted cleanup unsuccessful input ok message submitter submitterParameter
echo print println printf error unstable warnError catchError timeout retry timestamps ansiColor lock milestone throttle sleep waitUntil
node dir ws withEnv deleteDir cleanWs tool pwd isUnix fileExists readFile writeFile readJSON writeJSON readYaml writeYaml readProperties readMavenPom readTOML readCSV
touch sha1 sha256 findFiles zip unzip tar untar fingerprint libraryResource getContext container containerLog wrap nodejs jdk
junit xunit testNG nunit recordIssues recordCoverage publishCoverage publishHTML cobertura jacoco step properties buildDiscarder logRotator disableConcurrentBuilds
pipelineTriggers cron pollSCM upstream githubPush parameters string booleanParam choice text password credentials file run skipDefaultCheckout skipStagesAfterUnstable
checkoutToSubdirectory newContainerPerStage preserveStashes quietPeriod disableResume durabilityHint parallelsAlwaysFailFast rateLimitBuilds buildSelector lastSuccessful specific
mail emailext emailextrecipients slackSend slackUploadFile office365ConnectorSend hipchatSend rocketSend telegramSend discordSend googlechatnotification
githubNotify gitHubPRStatus setGitHubPullRequestStatus updateGitlabCommitStatus gitlabCommitStatus gitlabBuilds bitbucketStatusNotify addGitLabMRComment setCommitStatus step
sonarToGitHub waitForQualityGate withSonarQubeEnv perfReport plot archive publishChecks withChecks discoverGitReferenceBuild discoverReferenceBuild mineRepository
containerTemplate containerTemplates volumes emptyDirVolume hostPathVolume secretVolume configMapVolume envVar secretEnvVar usernamePassword sshUserPrivateKey usernameColonPassword certificate
configFile userRemoteConfigs scmGit extensions branches cloneOption gitParameter buildName buildDescription addBadge addShortText addHtmlBadge createSummary rtp
validateDeclarativePipeline nonStoredPasswordParam choiceParam isStarted evaluate sprintf min max each collect size contains equals toString dockerNode dockerFingerprintFrom
artifactsPublisher fileParam ansiblePlaybookSettings pathPattern allowEmptyArchive excludes copyArtifactPermission`

// methods of texts, lists and maps.
const methods = `each eachWithIndex collect collectEntries find findAll any every join split trim replace replaceAll replaceFirst toLowerCase toUpperCase
contains containsKey startsWith endsWith add addAll put putAll get getAt size length substring tokenize matches sort plus minus remove format toInteger toString
keySet values entrySet isEmpty equals with readLines eachLine indexOf unique sum max min flatten first last reverse push pop inspect stripIndent stripMargin`
