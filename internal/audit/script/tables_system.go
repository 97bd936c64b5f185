package script

// systemTables are the packages of distributions, downloads, and containers.
var systemTables = map[string]table{
	"apt-get": {ecosystem: "deb", valued: "-o -c -t --target-release", rules: []rule{
		{sub: "install|build-dep|upgrade|dist-upgrade|full-upgrade|reinstall|satisfy", tier: t2, why: "installs packages of the distribution", then: packages},
	}},
	"apk":                {ecosystem: "deb", valued: "-X --repository -t --virtual -p --root", rules: []rule{{sub: "add|upgrade", tier: t2, why: "installs packages of the distribution", then: packages}}},
	"dnf":                {ecosystem: "deb", valued: "--setopt --enablerepo --disablerepo --releasever --installroot", rules: []rule{{sub: "config-manager", with: "--add-repo", then: sources}, {sub: "install|in|update|upgrade|groupinstall|builddep|reinstall|localinstall", tier: t2, why: "installs packages of the distribution", then: packages}, {sub: "copr", then: sources}}},
	"pacman":             {ecosystem: "deb", rules: []rule{{sub: "", with: "-S -Sy -Syu -Syyu -Su -Suy", tier: t2, why: "installs packages of the distribution"}, {sub: "", with: "-U", tier: t1, why: "installs a package file"}}},
	"pkg":                {ecosystem: "deb", rules: []rule{{sub: "install|upgrade", tier: t2, why: "installs packages of the distribution"}}},
	"dpkg":               {ecosystem: "deb", rules: []rule{{sub: "", with: "-i --install", tier: t1, why: "installs a package file and runs its scripts"}}},
	"gdebi":              {ecosystem: "deb", rules: []rule{{tier: t1, why: "installs a package file and runs its scripts"}}},
	"rpm":                {ecosystem: "deb", rules: []rule{{sub: "", with: "-i -U -Uvh -ivh --install --upgrade", tier: t1, why: "installs a package file and runs its scripts"}}},
	"add-apt-repository": {ecosystem: "deb", rules: []rule{{then: sources}}},
	"apt-add-repository": {ecosystem: "deb", rules: []rule{{then: sources}}},
	"brew": {ecosystem: "brew", rules: []rule{
		{sub: "tap", then: sources},
		{sub: "install|upgrade|reinstall|bundle", tier: t2, why: "installs formulae", then: packages},
	}},
	"port":               {ecosystem: "brew", rules: []rule{{sub: "install|upgrade", tier: t2, why: "installs ports"}}},
	"snap":               {ecosystem: "snap", valued: "--channel --revision", rules: []rule{{sub: "install|refresh", tier: t1, why: "installs a snap of its publisher", then: tools}}},
	"flatpak":            {ecosystem: "snap", rules: []rule{{sub: "install|update|run", tier: t1, why: "installs an application of its publisher"}}},
	"choco":              {ecosystem: "choco", valued: "--version --source -s", rules: []rule{{sub: "install|upgrade", tier: t1, why: "runs the install scripts of packages", then: tools}}},
	"winget":             {ecosystem: "choco", valued: "--id --version -e --source", rules: []rule{{sub: "install|upgrade", tier: t1, why: "runs the installers of packages", then: tools}}},
	"scoop":              {ecosystem: "choco", rules: []rule{{sub: "install|update", tier: t1, why: "runs the install scripts of packages", then: tools}}},
	"Install-Module":     {ecosystem: "powershell", valued: "-Name -RequiredVersion -Repository -Scope", rules: []rule{{tier: t1, why: "installs a module, which later commands load"}}},
	"Install-PSResource": {ecosystem: "powershell", valued: "-Name -Version -Repository -Scope", rules: []rule{{tier: t1, why: "installs a module, which later commands load"}}},
	"Install-Package":    {ecosystem: "powershell", rules: []rule{{tier: t1, why: "installs a package"}}},

	"curl":               {ecosystem: "shell", valued: "-o --output -H --header -d --data --data-raw --data-binary -X --request -u --user -A --retry --max-time -m --connect-timeout -w --write-out -F --form -e -b -c --cacert --cert --key -T --upload-file --proto --retry-delay --output-dir", rules: []rule{{then: downloads}}},
	"wget":               {ecosystem: "shell", valued: "-O --output-document -P --directory-prefix -o --header -U --tries -t --timeout -T --post-data -q_", rules: []rule{{then: downloads}}},
	"aria2c":             {ecosystem: "shell", valued: "-o -d -x -s", rules: []rule{{then: downloads}}},
	"Invoke-WebRequest":  {ecosystem: "shell", valued: "-Uri -OutFile -Method -Headers -Body", rules: []rule{{then: downloads}}},
	"Invoke-RestMethod":  {ecosystem: "shell", valued: "-Uri -OutFile -Method -Headers -Body", rules: []rule{{then: downloads}}},
	"iwr":                {ecosystem: "shell", valued: "-Uri -OutFile", rules: []rule{{then: downloads}}},
	"irm":                {ecosystem: "shell", valued: "-Uri -OutFile", rules: []rule{{then: downloads}}},
	"Start-BitsTransfer": {ecosystem: "shell", valued: "-Source -Destination", rules: []rule{{then: downloads}}},
	"git":                {ecosystem: "git", valued: "-C -c -b --branch --depth --reference -o --origin --git-dir --work-tree -m --message", rules: []rule{{sub: "clone", then: clones}}},
	"tar":                {valued: "-C --directory -f --file -I --use-compress-program", rules: []rule{{then: unpacks}}},
	"unzip":              {valued: "-d -x", rules: []rule{{then: unpacks}}},
	"gunzip":             {rules: []rule{{then: unpacks}}},
	"cp":                 {rules: []rule{{then: moves}}},
	"mv":                 {rules: []rule{{then: moves}}},
	"ln":                 {rules: []rule{{then: moves}}},
	"install":            {valued: "-m -o -g -t", rules: []rule{{then: moves}}},
	"sha256sum":          {rules: []rule{{with: "-c --check --strict -", then: verifies}}},
	"sha512sum":          {rules: []rule{{with: "-c --check --strict -", then: verifies}}},
	"shasum":             {rules: []rule{{with: "-c --check", then: verifies}}},
	"cosign":             {valued: "--key -k --certificate --signature --bundle --type --predicate --certificate-identity --certificate-oidc-issuer -a -o --output-file --output-signature --output-certificate", rules: []rule{{sub: "verify|verify-blob|verify-attestation|verify-blob-attestation", then: verifies}}},
	"gpg":                {rules: []rule{{with: "--verify", then: verifies}}},
	"gpg2":               {rules: []rule{{with: "--verify", then: verifies}}},
	"minisign":           {rules: []rule{{with: "-V -Vm -Vqm", then: verifies}}},
	"slsa-verifier":      {rules: []rule{{sub: "verify-artifact|verify-image|verify-npm-package|verify-*", then: verifies}}},
	"gh": {ecosystem: "git", valued: "-R --repo -X --method -f -F -H --title -t --notes -n --notes-file -p --pattern -D --dir -O --output --target --body -b --head --base", rules: []rule{
		{sub: "release download", then: downloads},
		{sub: "extension|extensions|ext install", tier: t1, why: "installs an extension, which gh runs"},
		{sub: "attestation|at verify", then: verifies},
		{sub: "repo clone", then: clones},
	}},

	"docker":   {ecosystem: "oci", valued: dockerFlags, rules: dockerRules},
	"podman":   {ecosystem: "oci", valued: dockerFlags, rules: []rule{{sub: "build|buildx", tier: t1, why: "builds in the job itself, so that the image's commands reach what the job holds", then: builds}}},
	"buildah":  {ecosystem: "oci", valued: dockerFlags, rules: []rule{{sub: "bud|build|run", with: "--isolation", tier: t1, why: "builds in the job itself, so that the image's commands reach what the job holds", then: builds}, {sub: "bud|build", then: builds}}},
	"executor": {ecosystem: "oci", rules: []rule{{with: "--context --destination --dockerfile -c -d -f --no-push", tier: t1, why: "is kaniko, which runs the image's commands in the job's own container", then: builds}}},
	"kaniko":   {ecosystem: "oci", rules: []rule{{tier: t1, why: "runs the image's commands in the job's own container", then: builds}}},
	"img":      {ecosystem: "oci", rules: []rule{{sub: "build", then: builds}}},
}

const dockerFlags = "-f --file -t --tag -v --volume -e --env --env-file --name -w --workdir -u --user --network --net --mount -p --publish --platform --build-arg --secret --ssh --target --cache-from --cache-to -o --output --entrypoint --label -l --add-host --builder --context -H --host --progress --iidfile --metadata-file --allow --security-opt --cap-add --gpus --shm-size --ulimit -m --memory --cpus --set --pull --restart --device --volumes-from --ipc --pid --userns --username --password --driver --driver-opt --config --annotation --attest --isolation --no-cache-filter --project-name --profile"

// dockerRules are those of docker and what has its commands.
var dockerRules = []rule{
	{sub: "buildx create|use|ls|inspect|imagetools|prune|rm|install|du|version|stop"},
	{sub: "build", then: builds},
	{sub: "builder|image build", then: builds},
	{sub: "buildx build|bake|b", then: builds},
	{sub: "compose build", then: builds},
	{sub: "container run", then: containers},
	{sub: "run", then: containers},
	{sub: "create", then: containers},
}
