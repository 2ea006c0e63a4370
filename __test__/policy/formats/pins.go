package bank

// Pins of the keys that our servers have, made by hpkp-pins.
var CertificatePins = map[string][]string{
	"bank.example": {
		"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", // current
		`AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=`, /* backup */
	},
	"*.pay.example": []string{"AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM="},
}
