package gate

import (
	"fmt"
	"reflect"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
	"github.com/sallyport/sallyport/internal/gate/facts"
)

// Limits of one rule. The cost is CEL's own measure: about one for each step.
const (
	maxCost  = 2_000_000
	maxExpr  = 4096 // characters
	maxNodes = 2000
	maxNest  = 40
	maxRegex = 1000 // instructions
)

type compiled struct {
	Rule
	holds cel.Program
	got   cel.Program
}

// environment declares what expressions can use: the two variables with the
// types of package facts, and functions on texts and sets. There is no clock, no
// file and no network in it.
func environment() (*cel.Env, error) {
	return cel.NewEnv(
		ext.NativeTypes(
			reflect.TypeFor[facts.Run](), reflect.TypeFor[facts.Artifact](), ext.ParseStructTags(true)),
		cel.Variable("run", cel.ObjectType("facts.Run")),
		cel.Variable("artifact", cel.ObjectType("facts.Artifact")),
		ext.Strings(), ext.Sets(),
		cel.ParserExpressionSizeLimit(maxExpr),
		cel.ExpressionNodeLimit(maxNodes),
		cel.ExpressionNestingDepthLimit(maxNest),
		cel.RegexProgramSizeLimit(maxRegex),
	)
}

func compile(rules []Rule, lines []int) ([]compiled, error) {
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("make rule environment: %w", err)
	}
	out := make([]compiled, 0, len(rules))
	seen := map[string]bool{}
	for i, r := range rules {
		if seen[r.ID] {
			return nil, &lineError{lines[i], fmt.Errorf("rule %s stands twice", r.ID)}
		}
		seen[r.ID] = true
		c := compiled{Rule: r}
		if c.holds, err = program(env, r.Expr, cel.BoolType); err != nil {
			return nil, &lineError{lines[i], fmt.Errorf("rule %s: expr: %w", r.ID, err)}
		}
		if r.Got == "" {
			out = append(out, c)
			continue
		}
		if c.got, err = program(env, r.Got, cel.StringType); err != nil {
			return nil, &lineError{lines[i], fmt.Errorf("rule %s: got: %w", r.ID, err)}
		}
		out = append(out, c)
	}
	return out, nil
}

func program(env *cel.Env, expr string, want *cel.Type) (cel.Program, error) {
	ast, iss := env.Compile(expr)
	if iss.Err() != nil {
		return nil, iss.Err()
	}
	if !ast.OutputType().IsExactType(want) {
		return nil, fmt.Errorf("is a %s, not a %s", ast.OutputType(), want)
	}
	p, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost))
	if err != nil {
		return nil, err
	}
	return p, nil
}

// evaluate asks every rule. One that fails to evaluate does not hold, and
// denies whatever its severity is: it can no longer say what it was asked for.
func (p *Policy) evaluate(r *facts.Run, a *facts.Artifact) []Result {
	vars := map[string]any{"run": r, "artifact": a}
	out := make([]Result, 0, len(p.rules))
	for i := range p.rules {
		out = append(out, p.rules[i].ask(vars))
	}
	return out
}

func (c *compiled) ask(vars map[string]any) Result {
	res := Result{Rule: c.ID, Severity: c.Severity, Wanted: c.Message, Boundary: c.Boundary, Do: c.Do}
	v, err := eval(c.holds, vars)
	if err == nil {
		b, isBool := v.(types.Bool)
		if isBool && bool(b) {
			res.OK, res.Got = true, "yes"
			return res
		}
		if isBool {
			res.Got = c.found(vars)
			return res
		}
		err = fmt.Errorf("gave a %s", v.Type().TypeName())
	}
	res.Severity, res.Got = Deny, shown("the rule could not be evaluated: "+err.Error())
	return res
}

// found says what was found where the rule does not hold.
func (c *compiled) found(vars map[string]any) string {
	if c.got == nil {
		return "no"
	}
	v, err := eval(c.got, vars)
	if err != nil {
		return "no (" + shown(err.Error()) + ")"
	}
	s, isString := v.(types.String)
	if !isString {
		return "no"
	}
	return shown(string(s))
}

// eval turns a panic in an expression into an error: the evidence is hostile and
// the evaluator is not ours.
func eval(p cel.Program, vars map[string]any) (v ref.Val, err error) {
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, fmt.Errorf("evaluator: %v", r)
		}
	}()
	v, _, err = p.Eval(vars)
	return v, err
}
