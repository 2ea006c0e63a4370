package example.bank

import okhttp3.CertificatePinner
import okhttp3.Headers
import okhttp3.OkHttpClient

/* .add("old.bank.example", "sha256/BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=") went in 2025 */
object Pins {
    private val headers = Headers.Builder().add("accept", "application/json").build()

    val client: OkHttpClient = OkHttpClient.Builder()
        .certificatePinner(
            CertificatePinner.Builder()
                .add("bank.example", "sha256/AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=") // until 2027
                .add("bank.example", "sha256/AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=")
                .add(
                    "**.pay.bank.example",
                    "sha256/AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=",
                    "sha256/BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=",
                )
                .add("*.bank.example", """sha256/AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=""")
                .build(),
        )
        .build()

    fun greeting(name: String) = "hello $name, ${headers.size} headers"
}
