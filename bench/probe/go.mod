module sylph/probe

go 1.24
